"""The surface, frozen: an option comes or goes only where this list is changed too."""

import typer.main

from atonce.cli.main import app

OPTIONS = {
    "demo": ["--help", "--json", "--minutes", "--out", "--recipe"],
    "evaluate": ["--against", "--beam", "--help", "--json", "--reference", "--source", "RUN"],
    "heatmap": ["--head", "--help", "--layer", "--out", "--target", "--words", "RUN", "TEXT"],
    "recipes": ["--help", "--json"],
    "train": ["--help", "--json", "--minutes", "--out", "--resume", "--set", "RECIPE"],
    "translate": ["--beam", "--help", "--json", "--nbest", "--sample", "--seed", "FILE", "RUN"],
}


def test_commands_and_options() -> None:
    group = typer.main.get_command(app)
    found = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        parameters = command.get_params(typer.Context(command))
        found[name] = sorted(
            parameter.name.upper() if parameter.param_type_name == "argument" else parameter.opts[0]
            for parameter in parameters
        )
    for options in found.values():
        options[:] = sorted(options)
    assert found == {name: sorted(["-h" if o == "--help" else o for o in os]) for name, os in OPTIONS.items()}
