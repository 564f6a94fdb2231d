"""A line in, a line out: what the commands that make texts of texts share."""

from pathlib import Path
from typing import TYPE_CHECKING

from atonce.cli.options import STDIN
from atonce.data.config import COMMANDS, Task
from atonce.errors import RunError

if TYPE_CHECKING:
    from atonce.decoding.translator import Translation, Translator

LINES_AT_ONCE = 2_000
"""Sorted by length and searched together: a file of any size needs no more memory than this."""


def open_for(task: Task, run: Path, *, fast: bool) -> "Translator":
    """The model of a run that was trained for this task; `fast` as `load` has it.

    Raises RunError if it was for another.
    """
    from atonce.decoding.load import load_translator
    from atonce.runs.folder import RunFolder

    trained_for = RunFolder.open(run).recipe.data.task
    if trained_for != task:
        raise RunError(
            f"{run} is not for {task}",
            why=f"it was trained for {trained_for}",
            fix=f"atonce {COMMANDS[trained_for]} {run}",
        )
    return load_translator(run, fast=fast)


def write_outputs(
    translator: "Translator",
    file: Path | None,
    doing: str,
    *,
    beam: int | None,
    nbest: int,
    json: bool,
    temperature: float = 0.0,
) -> None:
    """Print what becomes of each line of a file, or of stdin (None or `-`). `doing`: what the bar says.

    With `nbest` above 1, a line becomes so many: line number, score and text, separated by tabs.
    Raises DataError if the text cannot be read.
    """
    import sys
    from itertools import islice

    from atonce.data.lines import read_lines, read_stdin
    from atonce.progress import progress

    lines = read_stdin() if file in (None, STDIN) else read_lines(file)
    at_once = 1 if file in (None, STDIN) and sys.stdin.isatty() else LINES_AT_ONCE
    number = 0
    while chunk := list(islice(lines, at_once)):
        with progress(doing, total=len(chunk)) as advance:
            outputs = translator.translate(
                chunk, beam=beam, nbest=nbest, temperature=temperature, advance=advance
            )
        for line, output in zip(chunk, outputs, strict=True):
            number += 1
            _print(number, line, output, nbest=nbest, json=json)


def _print(number: int, line: str, output: "Translation", *, nbest: int, json: bool) -> None:
    from atonce.cli.output import print_json, print_text

    if json:
        best = [{"text": one.text, "score": one.score} for one in output.alternatives]
        print_json({"source": line, "text": output.text, "score": output.score, "nbest": best})
    elif nbest == 1:
        print_text(output.text)
    else:
        for one in output.alternatives:
            print_text(f"{number}\t{one.score:.4f}\t{one.text}")
