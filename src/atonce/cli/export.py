"""`atonce export`: a run in another program's format."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Format = Literal["ctranslate2"]
Quantization = Literal["int8", "int8_float32", "int16", "float16", "bfloat16"]


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    folder: Annotated[Path, typer.Argument(help="A new folder to write into.")],
    to: Annotated[Format, typer.Option(help="Format to export to.")],
    quantization: Annotated[
        Quantization | None, typer.Option(help="Type of the stored weights; by default float32.")
    ] = None,
) -> None:
    """Export a trained model. CTranslate2: Transformers, on CPUs and GPUs.

    The export is loaded and compared with the run, and deleted if its outputs differ. README.md in the folder
    says how to use it, and what differs from atonce.
    """
    from atonce.cli.output import print_text
    from atonce.interop import ctranslate2

    match to:
        case "ctranslate2":
            written = ctranslate2.export(run, folder, quantization=quantization)
    print_text(str(written))
    # On stderr: stdout is the folder alone, so that scripts can take it.
    typer.echo(f"How to use it, and what differs from atonce: {written / 'README.md'}", err=True)
