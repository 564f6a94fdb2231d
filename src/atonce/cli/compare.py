"""`atonce compare` and `atonce demo`: architectures trained on equal terms, and one page that reports it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from atonce.studies.comparison.results import ComparisonReport


def compare(
    recipe: Annotated[str, typer.Argument(help="A name from `atonce recipes`, or a .toml file.")],
    out: Annotated[Path, typer.Option(help="Folder for runs and report.")],
    models: Annotated[
        str | None,
        typer.Option(
            help="Architectures, separated by commas; by default seven of all families.", metavar="A,B,…"
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Wall-clock minutes for each training; they take turns.", min=0.01)
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Updates for each training.", min=1)] = None,
    seeds: Annotated[
        int, typer.Option(help="Trainings of each model, with different seeds.", min=1, max=1000)
    ] = 1,
    baseline: Annotated[str | None, typer.Option(help="Baseline model; by default the first.")] = None,
    weights: Annotated[
        int | None,
        typer.Option(help="Parameter count of each model; by default that of the recipe's own.", min=1),
    ] = None,
    own_widths: Annotated[
        bool,
        typer.Option(
            "--own-widths", help="Use each model's default width instead of matching parameter counts."
        ),
    ] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a key of the recipe: --set data.pairs=2000", metavar="KEY=VALUE"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume a comparison that was interrupted.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Train several architectures on the same data, with equal budgets and parameter counts, and compare.

    The report has quality with intervals, learning curves, quality by sentence length, speeds and memory.
    """
    from atonce.cli.output import print_json, print_text
    from atonce.runs.recipe import load

    # Before torch is imported: what is wrong with a recipe is said at once, not after seconds.
    chosen = load(recipe, set_ or ())

    from atonce.studies.comparison.compare import MODELS
    from atonce.studies.comparison.compare import compare as run_comparison

    try:
        made = run_comparison(
            chosen, out, models=MODELS if models is None else [name.strip() for name in models.split(",")],
            minutes=minutes, steps=steps, seeds=seeds, baseline=baseline, weights=weights,
            own_widths=own_widths, resume=resume, quiet=json,
        )  # fmt: skip
    except KeyboardInterrupt:
        typer.echo("Stopped. To go on, give the same command with --resume.", err=True)
        raise
    if json:
        print_json(made.report.to_dict())
        return
    _print_table(made.report)
    print_text(f"\nThe report: {made.page}\nIts numbers: {made.numbers}")


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
    """Train a recurrent net with attention and a Transformer on real text, and compare them.

    Both train for the same number of minutes; then they are scored, and one offline page shows scores,
    learning curves, translations and attention.
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


def _print_table(report: "ComparisonReport") -> None:
    """A row for each model, the best first."""
    from atonce.cli.output import print_table
    from atonce.studies.comparison.results import METRICS

    columns = ("", "weights", "BLEU", "95 %", "chrF", "95 %", "training tokens/s", "sentences/s")
    rows = []
    for model in report.ranked():
        scores = [
            text
            for metric in METRICS
            for score in [model.scores[metric]]
            for text in (f"{score.value:.1f}", f"{score.low:.1f}–{score.high:.1f}")
        ]
        speeds = model.speeds.train_tokens_per_second, model.speeds.sentences_per_second
        rows.append((model.name, f"{model.weights:,}", *scores, *(f"{speed:,.0f}" for speed in speeds)))
    print_table(columns, rows)
