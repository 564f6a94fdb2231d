"""`atonce serve`: the page where people see and play, and the REST interface behind it."""

from pathlib import Path
from typing import Annotated

import typer

from atonce.cli.options import Fast, Threads

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(
    runs: Annotated[list[Path], typer.Argument(help="Run folders: the models that are served.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; by default this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free.", min=0, max=65535)] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="File with a bearer token that requests must send.")
    ] = None,
    fast: Fast = False,
    threads: Threads = None,
    batch_tokens: Annotated[
        int, typer.Option(help="Approximate source tokens per batch.", min=1, max=10**7)
    ] = 4096,
    wait: Annotated[
        float,
        typer.Option(help="Batching delay in milliseconds.", min=0, max=60_000),
    ] = 2.0,
    queue: Annotated[
        int, typer.Option(help="Maximum queued texts; beyond it, 429.", min=1, max=10**6)
    ] = 2000,
    max_body: Annotated[
        int, typer.Option(help="Maximum bytes of a request.", min=1000, max=10**9)
    ] = 1_000_000,
    max_texts: Annotated[int, typer.Option(help="Maximum texts in a request.", min=1, max=10**6)] = 256,
    max_characters: Annotated[
        int, typer.Option(help="Maximum characters of a text.", min=1, max=10**8)
    ] = 20_000,
    max_tokens: Annotated[int, typer.Option(help="Maximum tokens of a text.", min=1, max=10**8)] = 16_384,
    max_looked: Annotated[
        int,
        typer.Option(
            help="Maximum tokens of a text whose attention is shown, or of an output that is forced.",
            min=1,
            max=10**6,
        ),
    ] = 512,
    max_work: Annotated[
        int,
        typer.Option(
            help="Maximum tokens of all texts of a request, times the outputs of each.", min=1, max=10**12
        ),
    ] = 500_000,
    max_memory: Annotated[
        int, typer.Option(help="Maximum memory of a request in MB, as estimated.", min=1, max=10**7)
    ] = 128,
    timeout: Annotated[float, typer.Option(help="Maximum seconds of a request.", min=0.1, max=86_400)] = 30.0,
) -> None:
    """Serve models: a page to try them on, and a REST interface (its description is at /openapi.json)."""
    from atonce.errors import RunError, not_installed

    try:
        from atonce.serve.server import run
    except ImportError as error:
        why = f"the server needs packages that are missing ({error.name})"
        raise not_installed("the serve extra is not installed", why, "serve", kind=RunError) from None
    from atonce.models.threads import use_threads
    from atonce.serve.app import build_app
    from atonce.serve.limits import Limits
    from atonce.serve.registry import ModelRegistry

    limits = Limits.parse(
        dict(
            body=max_body, texts=max_texts, characters=max_characters, seconds=timeout, queue=queue,
            batch_tokens=batch_tokens, wait=wait, tokens=max_tokens, looked=max_looked, work=max_work,
            memory=max_memory,
        ),
        origin="the options",
    )  # fmt: skip
    use_threads(threads)
    token = _token(token_file)
    # A page from elsewhere can give its own name the address of this machine; then it comes with that name.
    hosts = (*LOOPBACK, "[::1]") if host in LOOPBACK else None
    app = build_app(ModelRegistry.open(runs, fast=fast), limits, token=token, hosts=hosts)
    if token is None and hosts is None:
        typer.echo(
            "warning: anyone who reaches this machine can use it; --token-file FILE prevents that", err=True
        )
    run(app, host=host, port=port, ready=lambda address: typer.echo(f"serving at {address}", err=True))


def _token(file: Path | None) -> str | None:
    """What is in the file. Raises DataError if there is nothing."""
    from atonce.errors import DataError, unreadable

    if file is None:
        return None
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(file, error, kind=DataError) from None
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise DataError(
            f"there is no token in {file}",
            why="a token is one word of ASCII signs",
            fix=f"make one: python -c 'import secrets; print(secrets.token_urlsafe())' > {file}",
        )
    return token
