"""`atonce read`: the text in pictures."""

from pathlib import Path
from typing import Annotated

import typer

from atonce.cli.options import Beam, Nbest, Threads


def read(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    files: Annotated[list[Path], typer.Argument(help="Pictures.")],
    beam: Beam = None,
    nbest: Nbest = 1,
    threads: Threads = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each.")] = False,
) -> None:
    """Read the text in each picture."""
    from atonce.cli.output import print_json, print_text
    from atonce.data.image_files import read_image
    from atonce.decoding.load import load_reader
    from atonce.models.threads import use_threads

    use_threads(threads)
    reader = load_reader(run)
    pictures = [read_image(file, reader.shape) for file in files]
    for file, reading in zip(files, reader.read_images(pictures, beam=beam, nbest=nbest), strict=True):
        if json:
            best = [{"text": one.text, "score": one.score} for one in reading.alternatives]
            print_json({"file": str(file), "text": reading.text, "score": reading.score, "nbest": best})
        elif nbest == 1:
            print_text(f"{file}\t{reading.text}")
        else:
            for one in reading.alternatives:
                print_text(f"{file}\t{one.score:.4f}\t{one.text}")
