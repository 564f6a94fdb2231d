"""`atonce demo`: the main job on the default corpus, start to finish."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    minutes: Annotated[
        float, typer.Option(help="Training time of each of the two models; they take turns.", min=0.01)
    ] = 3,
    recipe: Annotated[
        str, typer.Option(help="A name or a .toml file; dates needs no network.")
    ] = "localisation",
    out: Annotated[
        Path, typer.Option(help="Folder for runs and report; an earlier demo is replaced.")
    ] = Path("runs/demo"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Train a recurrent net with attention and a Transformer on real text, and set them side by side.

    Both learn for as many minutes; then they are scored, and one offline page shows scores, learning curves,
    translations and what each looks at.
    """
    from atonce.cli.output import print_json, print_scores, print_text
    from atonce.studies.demo import demo as run_demo

    result = run_demo(out, recipe=recipe, minutes=minutes, quiet=json)
    if json:
        print_json(result.to_dict())
        return
    print_scores({title: evaluation.scores for title, evaluation in result.evaluations.items()})
    print_text(f"\nThe report: {result.report}\n\nWhat to try next:")
    for command in result.next_commands:
        print_text(f"  {command}")
