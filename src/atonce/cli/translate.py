"""`atonce translate`: a line in, a line out."""

from pathlib import Path
from typing import Annotated

import typer

from atonce.cli.fast import Fast


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
    fast: Fast = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each line.")] = False,
) -> None:
    """Translate a text, line by line.

    With --nbest each line becomes so many lines: line number, score and text, separated by tabs.
    """
    import torch

    from atonce.cli.lines import open_for, write_outputs

    translator = open_for("translation", run, fast=fast)
    torch.manual_seed(seed)
    write_outputs(translator, file, "Translating", beam=beam, nbest=nbest, json=json, temperature=sample)
