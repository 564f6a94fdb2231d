"""`atonce translate`: a line in, a line out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from atonce.decoding.translator import Translation

LINES_AT_ONCE = 2_000
"""Sorted by length and searched together: a file of any size needs no more memory than this."""


def translate(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    file: Annotated[Path | None, typer.Argument(help="Text to translate; stdin without it.")] = None,
    beam: Annotated[int | None, typer.Option(help="Hypotheses kept; 1 is greedy.", min=1)] = None,
    nbest: Annotated[int, typer.Option(help="Outputs for each line, best first, with scores.", min=1)] = 1,
    sample: Annotated[
        float,
        typer.Option(help="Draw words at random with this temperature; 0 searches.", min=0, max=100),
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="For --sample.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each line.")] = False,
) -> None:
    """Translate a text, line by line.

    With --nbest each line becomes so many lines: line number, score and text, separated by tabs.
    """
    import sys
    from itertools import islice

    import torch

    from atonce.data.files import read_lines, read_stdin
    from atonce.decoding.translator import Translator
    from atonce.progress import progress

    translator = Translator.open(run)
    torch.manual_seed(seed)
    lines = read_stdin() if file is None else read_lines(file)
    at_once = 1 if file is None and sys.stdin.isatty() else LINES_AT_ONCE
    number = 0
    while chunk := list(islice(lines, at_once)):
        with progress("Translating", total=len(chunk)) as advance:
            translations = translator.translate(
                chunk, beam=beam, nbest=nbest, temperature=sample, advance=advance
            )
        for line, translation in zip(chunk, translations, strict=True):
            number += 1
            _print(number, line, translation, nbest=nbest, json=json)


def _print(number: int, line: str, translation: "Translation", *, nbest: int, json: bool) -> None:
    from atonce.cli.output import print_json, print_text

    if json:
        best = [{"text": one.text, "score": one.score} for one in translation.alternatives]
        print_json({"source": line, "text": translation.text, "score": translation.score, "nbest": best})
    elif nbest == 1:
        print_text(translation.text)
    else:
        for one in translation.alternatives:
            print_text(f"{number}\t{one.score:.4f}\t{one.text}")
