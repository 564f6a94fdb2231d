"""`atonce translate`, `summarize`, `classify` and `read`: one output for each source."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atonce.cli.options import (
    MOST_SHOWN,
    STDIN,
    Beam,
    Fast,
    Nbest,
    Sample,
    Seed,
    Threads,
    check_sampling,
)
from atonce.cli.output import print_json, print_text
from atonce.data.config import COMMANDS, Task
from atonce.errors import RecipeError, wrong_task

if TYPE_CHECKING:
    from atonce.decoding.classifier import Classification
    from atonce.decoding.translation import Alternative
    from atonce.decoding.translator import Translator

LINES_AT_ONCE = 2_000
"""Lines that are read, sorted by length and translated together: so a file of any size fits in memory."""

Run = Annotated[Path, typer.Argument(help="A run folder.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON object for each line.")]
JsonEach = Annotated[bool, typer.Option("--json", help="Print one JSON object for each.")]


def translate(
    run: Run,
    file: Annotated[
        Path | None, typer.Argument(help="Text to translate; stdin without it, or for -.")
    ] = None,
    beam: Beam = None,
    nbest: Nbest = 1,
    sample: Sample = 0.0,
    seed: Seed = 1,
    fast: Fast = False,
    threads: Threads = None,
    json: JsonLines = False,
) -> None:
    """Translate a text, line by line.

    With --nbest N, prints N lines per input: line number, score and text, separated by tabs.
    """
    check_sampling(sample, beam)
    translator = _open_for("translation", run, fast=fast, seed=seed, threads=threads)
    _write_outputs(translator, file, "Translating", beam=beam, nbest=nbest, json=json, temperature=sample)


def summarize(
    run: Run,
    file: Annotated[
        Path | None, typer.Argument(help="Texts to summarize; stdin without it, or for -.")
    ] = None,
    beam: Beam = None,
    nbest: Nbest = 1,
    sample: Sample = 0.0,
    seed: Seed = 1,
    fast: Fast = False,
    threads: Threads = None,
    json: JsonLines = False,
) -> None:
    """Summarize texts, each on a line of its own.

    With --nbest N, prints N lines per input: line number, score and summary, separated by tabs.
    """
    check_sampling(sample, beam)
    translator = _open_for("summarization", run, fast=fast, seed=seed, threads=threads)
    _write_outputs(translator, file, "Summarizing", beam=beam, nbest=nbest, json=json, temperature=sample)


def classify(
    run: Run,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Images; or texts, line by line (stdin without any), as the run was trained."),
    ] = None,
    top: Annotated[int, typer.Option(help="Likeliest labels to show.", min=1, max=MOST_SHOWN)] = 3,
    threads: Threads = None,
    json: JsonEach = False,
) -> None:
    """Classify images or lines of text, with probabilities."""
    from atonce.data.image_files import read_image
    from atonce.data.images import ImageShape
    from atonce.data.lines import read_lines, read_stdin
    from atonce.decoding.classifier import Classifier
    from atonce.models.threads import use_threads

    use_threads(threads)
    classifier = Classifier.load(run)  # before the files are read: only it knows what they are
    shape = classifier.io_spec.source
    if not isinstance(shape, ImageShape):
        for lines in [read_stdin() if file == STDIN else read_lines(file) for file in files or [STDIN]]:
            texts = list(lines)
            _print_labels("text", texts, classifier.classify(texts), top=top, json=json)
        return
    if not files:
        raise RecipeError(
            "there is no image", why=f"{run} reads images", fix=f"atonce classify {run} IMAGE …"
        )
    found = classifier.classify([read_image(file, shape) for file in files])
    _print_labels("file", map(str, files), found, top=top, json=json)


def read(
    run: Run,
    files: Annotated[list[Path], typer.Argument(help="Images.")],
    beam: Beam = None,
    nbest: Nbest = 1,
    threads: Threads = None,
    json: JsonEach = False,
) -> None:
    """Recognize the text in each image."""
    from atonce.data.image_files import read_image
    from atonce.decoding.image_reader import ImageReader
    from atonce.models.threads import use_threads

    use_threads(threads)
    reader = ImageReader.load(run)
    images = [read_image(file, reader.shape) for file in files]
    for file, reading in zip(files, reader.read_images(images, beam=beam, nbest=nbest), strict=True):
        best = reading.alternatives
        if json:
            print_json({"file": str(file), **_as_json(best)})
        elif nbest == 1:
            print_text(f"{_as_cell(str(file))}\t{reading.text}")
        else:
            _print_nbest(str(file), best)


def _open_for(task: Task, run: Path, *, fast: bool, seed: int, threads: int | None) -> "Translator":
    """The model of a run that was trained for this task. Raises RunError if it was trained for another."""
    import torch

    from atonce.decoding.translator import Translator
    from atonce.models.threads import use_threads
    from atonce.runs.folder import RunFolder
    from atonce.seeds import torch_seed

    use_threads(threads)
    # By the recipe alone: the weights of a model for another task need not be loaded to refuse it.
    trained_for = RunFolder.open(run).recipe.data.task
    if trained_for != task:
        raise wrong_task(run, task, trained_for, fix=f"atonce {COMMANDS[trained_for]} {run}")
    translator = Translator.load(run, fast=fast)
    torch.manual_seed(torch_seed(seed))  # after loading, which may draw numbers
    return translator


def _write_outputs(
    translator: "Translator",
    file: Path | None,
    doing: str,
    *,
    beam: int | None,
    nbest: int,
    json: bool,
    temperature: float,
) -> None:
    """Print the output for each line of a file, or of stdin (None or `-`). `doing`: text of the progress bar.

    Raises DataError if the text cannot be read.
    """
    from atonce.progress import progress

    number = 0
    for chunk in _chunks(file):
        with progress(doing, total=len(chunk)) as advance:
            outputs = translator.translate(
                chunk, beam=beam, nbest=nbest, temperature=temperature, on_progress=advance
            )
        for line, output in zip(chunk, outputs, strict=True):
            number += 1
            if json:
                print_json({"source": line, **_as_json(output.alternatives)})
            elif nbest == 1:
                print_text(output.text)
            else:
                _print_nbest(str(number), output.alternatives)


def _chunks(file: Path | None) -> Iterator[list[str]]:
    """Lines that are translated together; from a terminal one at a time, as somebody types and waits."""
    import sys

    from atonce.data.lines import read_lines, read_stdin

    if file is None or file == STDIN:
        lines, at_once = read_stdin(), 1 if sys.stdin.isatty() else LINES_AT_ONCE
    else:
        lines, at_once = read_lines(file), LINES_AT_ONCE
    while chunk := list(islice(lines, at_once)):
        yield chunk


def _as_json(best: "Sequence[Alternative]") -> dict[str, object]:
    nbest = [{"text": one.text, "score": one.score} for one in best]
    return {**nbest[0], "nbest": nbest}


def _print_nbest(source: str, best: "Sequence[Alternative]") -> None:
    for one in best:
        print_text(f"{_as_cell(source)}\t{one.score:.4f}\t{one.text}")


def _print_labels(
    key: str, sources: Iterable[str], found: "Iterable[Classification]", *, top: int, json: bool
) -> None:
    for source, one in zip(sources, found, strict=True):
        if json:
            print_json({key: source, "label": one.label, "probabilities": one.probabilities})
            continue
        likeliest = list(one.probabilities.items())[:top]
        print_text(
            "\t".join([_as_cell(source), *(f"{_as_cell(label)} {share:.1%}" for label, share in likeliest)])
        )


def _as_cell(text: str) -> str:
    """A text on one line, in one column: `--json` has it as it is."""
    # All that `str.splitlines` takes for a line's end: one line and one column for each source.
    return re.sub(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", " ", text)
