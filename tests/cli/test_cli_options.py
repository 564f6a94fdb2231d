"""The surface, frozen: an argument or option comes or goes only where this list is changed too."""

import re
from pathlib import Path

import typer.main

from atonce.cli.app import app

SURFACE = {
    "classify": "--json --threads --top FILES RUN",
    "compare": (
        "--baseline --json --minutes --models --out --own-widths --resume --seeds --set --steps --weights "
        "RECIPE"
    ),
    "context": "--corpus --ignore-case --json --layer --nearest --out --uses --word RUN",
    "demo": "--json --minutes --out --recipe",
    "distill": "--beam --by --fast --more --threads FOLDER RUN",
    "evaluate": "--against --beam --fast --json --reference --source --threads RUN",
    "heatmap": "--end --head --layer --out --target --tokens --words RUN TEXT",
    "export": "--quantization --to FOLDER RUN",
    "measure": "--claims --clock --clock-lengths --json --lengths --out --picture TARGETS",
    "read": "--beam --json --nbest --threads FILES RUN",
    "recipes": "--json --keys --schema",
    "serve": (
        "--batch-tokens --fast --host --max-body --max-characters --max-inspected --max-looked --max-memory "
        "--max-texts --max-tokens --max-work --port --queue --threads --timeout --token-file --wait RUNS"
    ),
    "summarize": "--beam --fast --json --nbest --sample --seed --threads FILE RUN",
    "train": "--json --minutes --model --out --resume --set --threads RECIPE",
    "translate": "--beam --fast --json --nbest --sample --seed --threads FILE RUN",
}


def test_commands_arguments_and_options() -> None:
    group = typer.main.get_command(app)
    found = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        parameters = [
            word.upper() if parameter.param_type_name == "argument" else word
            for parameter in command.params
            for word in (*parameter.opts, *parameter.secondary_opts)
        ]
        found[name] = " ".join(sorted(parameters))
    assert found == SURFACE


def test_the_document_says_what_serve_allows_by_default() -> None:
    document = (Path(__file__).parents[2] / "docs/serve.md").read_text(encoding="utf-8")
    table = "".join(line.split("|")[1] for line in document.splitlines() if line.startswith("| `--"))
    said = {
        name: float(number.replace(",", ""))
        for name, number in re.findall(r"`(--\S+)` ([\d,.]+\d|\d)", table)
    }
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    allowed = {one.opts[0]: one.default for one in serve.params if one.opts[0] in said}
    assert said == allowed
    older = {"--max-looked"}  # now --max-inspected
    assert {name for name in SURFACE["serve"].split() if name.startswith("--max")} - older <= said.keys()


def test_every_one_is_explained() -> None:
    for command in typer.main.get_command(app).commands.values():  # type: ignore[attr-defined]
        assert command.help
        assert all(parameter.help for parameter in command.params)
