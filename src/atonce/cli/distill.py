"""`atonce distill`: a corpus from which a faster model learns what a run has learned."""

from pathlib import Path
from typing import Annotated

import typer

from atonce.cli.options import Beam, Fast, Threads


def distill(
    run: Annotated[Path, typer.Argument(help="A run folder: the teacher.")],
    folder: Annotated[Path, typer.Argument(help="A new folder for the text and the student's recipe.")],
    beam: Beam = None,
    by: Annotated[
        Path | None, typer.Option(help="Another run that translates, such as an earlier student.")
    ] = None,
    more: Annotated[
        Path | None, typer.Option(help="A file of further source texts, one a line, to be translated, too.")
    ] = None,
    fast: Fast = False,
    threads: Threads = None,
) -> None:
    """Let a model translate what it was trained on, for a smaller and faster one to learn from."""
    from atonce.cli.output import print_text
    from atonce.models.threads import use_threads
    from atonce.studies.distill import distill as write

    use_threads(threads)

    recipe = write(run, folder, beam=beam, by=by, more=more, fast=fast)
    print_text(f"The student's recipe: {recipe}\nTrain it:  atonce train {recipe} --out RUN")
