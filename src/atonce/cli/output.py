"""How commands print: text for people, one JSON object for programs."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atonce.evaluation.translation import TranslationScores


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    print(json.dumps(value, ensure_ascii=False))


def print_text(text: str) -> None:
    """Text on stdout, as it is."""
    print(text, flush=True)


def print_scores(models: Mapping[str, "TranslationScores"]) -> None:
    """A table of scores, one row for each model, with the signatures below it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("", "BLEU", "chrF", "TER", "exact"):
        table.add_column(column, justify="right" if column else "left")
    for name, scores in models.items():
        numbers = (scores.bleu, scores.chrf, scores.ter, scores.exact)
        table.add_row(name, *(f"{number:.1f}" for number in numbers))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    first = next(iter(models.values()))
    console.print(f"{first.sentences:,} sentences; TER: lower is better")
    for metric, signature in first.signatures.items():
        console.print(f"  {metric}: {signature}", markup=False)
