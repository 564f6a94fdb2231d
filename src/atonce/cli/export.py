"""`atonce export`: a run in another program's format."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Format = Literal["ctranslate2"]
Quantization = Literal["int8", "int8_float32", "int16", "float16", "bfloat16"]


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    folder: Annotated[Path, typer.Argument(help="A new folder to write into.")],
    to: Annotated[Format, typer.Option(help="The program that is to run it.")],
    quantization: Annotated[
        Quantization | None, typer.Option(help="How weights are stored; without it, as float32.")
    ] = None,
) -> None:
    """Write a trained model as another program runs it. CTranslate2: Transformers, on CPUs and GPUs.

    What is written is loaded and compared with the run, and deleted if it is not the same model. README.md in
    the folder tells how to use it, and what is not as in atonce.
    """
    from atonce.cli.output import print_text
    from atonce.interop import ctranslate2

    match to:
        case "ctranslate2":
            written = ctranslate2.export(run, folder, quantization=quantization)
    print_text(str(written))
    typer.echo(f"How to use it, and what is not as in atonce: {written / 'README.md'}", err=True)
