"""`atonce classify`: a label for each picture, or for each line of a text."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atonce.cli.options import MOST_SHOWN, STDIN, Threads
from atonce.errors import RecipeError

if TYPE_CHECKING:
    from atonce.decoding.classifier import Classification


def classify(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Pictures; or texts, line by line (stdin without any), as the run was trained."),
    ] = None,
    top: Annotated[int, typer.Option(help="Likeliest labels to show.", min=1, max=MOST_SHOWN)] = 3,
    threads: Threads = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each.")] = False,
) -> None:
    """Say what is in each picture, or what kind of text each line is, with probabilities."""
    from atonce.data.image_files import read_image
    from atonce.data.images import ImageShape
    from atonce.data.lines import read_lines, read_stdin
    from atonce.decoding.load import load_classifier
    from atonce.models.threads import use_threads

    use_threads(threads)
    classifier = load_classifier(run)
    shape = classifier.ends.source
    if not isinstance(shape, ImageShape):
        for lines in [read_stdin() if file == STDIN else read_lines(file) for file in files or [STDIN]]:
            texts = list(lines)
            for text, found in zip(texts, classifier.classify(texts), strict=True):
                _print("text", text, found, top=top, json=json)
        return
    if not files:
        raise RecipeError(
            "there is no picture", why=f"{run} reads pictures", fix=f"atonce classify {run} PICTURE …"
        )
    pictures = [read_image(file, shape) for file in files]
    for file, found in zip(files, classifier.classify(pictures), strict=True):
        _print("file", str(file), found, top=top, json=json)


def _print(what: str, source: str, found: "Classification", *, top: int, json: bool) -> None:
    from atonce.cli.output import print_json, print_text

    if json:
        print_json({what: source, "label": found.label, "probabilities": found.probabilities})
        return
    likeliest = list(found.probabilities.items())[:top]
    print_text("\t".join([source, *(f"{label} {share:.1%}" for label, share in likeliest)]))
