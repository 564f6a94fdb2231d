"""`atonce summarize`: a text in, on one line; its summary out, on one line."""

from pathlib import Path
from typing import Annotated

import typer

from atonce.cli.options import Beam, Fast, Nbest, Sample, Seed, Threads, check_sampling


def summarize(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    file: Annotated[
        Path | None, typer.Argument(help="Texts to summarize; stdin without it, or for -.")
    ] = None,
    beam: Beam = None,
    nbest: Nbest = 1,
    sample: Sample = 0.0,
    seed: Seed = 1,
    fast: Fast = False,
    threads: Threads = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each line.")] = False,
) -> None:
    """Summarize texts, each on a line of its own.

    With --nbest each line becomes so many lines: line number, score and summary, separated by tabs.
    """
    check_sampling(sample, beam)

    import torch

    from atonce.cli.lines import open_for, write_outputs
    from atonce.models.threads import use_threads
    from atonce.seeds import torch_seed

    use_threads(threads)
    translator = open_for("summarization", run, fast=fast)
    torch.manual_seed(torch_seed(seed))
    write_outputs(translator, file, "Summarizing", beam=beam, nbest=nbest, json=json, temperature=sample)
