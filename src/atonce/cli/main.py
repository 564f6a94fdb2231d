"""The command line: `atonce COMMAND`. Nothing heavy is imported before a command runs."""

import sys
from io import TextIOWrapper

import typer

from atonce.cli import (
    classify,
    compare,
    context,
    demo,
    distill,
    evaluate,
    export,
    heatmap,
    measure,
    read,
    recipes,
    serve,
    summarize,
    train,
    translate,
)
from atonce.disk import what_the_system_said
from atonce.errors import AtonceError

app = typer.Typer(
    name="atonce",
    help="Sequence models, from recurrence to attention: train them on your text, see what they look at.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    demo, recipes, train, translate, summarize, classify, read, evaluate, heatmap, context,
    compare, measure, serve, export, distill,
):  # fmt: skip
    name = command.__name__.rpartition(".")[2]
    app.command(name)(getattr(command, name))


def main() -> None:
    """Run the command line. A fault the user can mend is three lines on stderr and exit code 2."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as texts are read, whatever the locale
    try:
        app()
    except AtonceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:  # not about a file
            raise
        print(f"error: {what_the_system_said(error)}", file=sys.stderr)
        sys.exit(2)
