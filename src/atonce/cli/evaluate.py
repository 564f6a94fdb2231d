"""`atonce evaluate`: BLEU, chrF and TER with signatures, alone or against another run."""

from pathlib import Path
from typing import Annotated

import typer

from atonce.cli.options import Beam, Fast, Threads
from atonce.errors import RecipeError


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    source: Annotated[Path | None, typer.Option(help="Text to translate instead of the test split.")] = None,
    reference: Annotated[Path | None, typer.Option(help="Reference translations, line by line.")] = None,
    beam: Beam = None,
    against: Annotated[
        Path | None, typer.Option(help="Another run to compare with, by paired bootstrap.")
    ] = None,
    fast: Fast = False,
    threads: Threads = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Translate a test text and score it."""
    if (source is None) != (reference is None):
        raise RecipeError(
            "--source and --reference go together",
            why="the first is translated, and compared with the second",
            fix="give both, or neither to take the test split",
        )

    # Here and not above: torch takes seconds to import, and --help and wrong options need nothing of it.
    from atonce.cli.output import print_json, print_scores, print_text, respelt
    from atonce.models.threads import use_threads
    from atonce.progress import progress
    from atonce.studies.experiment import evaluate as run_evaluation

    use_threads(threads)
    with progress("Translating the test text", quiet=json) as advance:
        evaluation = run_evaluation(
            run,
            source=source,
            reference=reference,
            beam=beam,
            against=against,
            fast=fast,
            on_progress=advance,
        )
    if json:
        print_json(evaluation.to_dict())
        return
    print_scores({run.name: evaluation.scores, **evaluation.baselines})
    if evaluation.references_respelt:
        print_text(respelt(evaluation.references_respelt))
    if evaluation.against is not None:
        print_text(f"\nAgainst {against}:\n{evaluation.against.describe()}")
