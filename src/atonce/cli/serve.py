"""`atonce serve`: the page and the REST interface."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atonce.cli.options import Fast, Threads

if TYPE_CHECKING:
    from atonce.serve.limits import Limits

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _limit(what: str, *, low: int | float = 1, high: int | float) -> Any:
    return typer.Option(help=f"Maximum {what}.", min=low, max=high)


# Defaults and bounds stand here as well as in `serve.limits.Limits`: that imports torch, --help should not.
def serve(
    runs: Annotated[list[Path], typer.Argument(help="Run folders: the models to serve.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; by default this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0: any free one.", min=0, max=65535)] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="File with a bearer token that requests must send.")
    ] = None,
    fast: Fast = False,
    threads: Threads = None,
    batch_tokens: Annotated[
        int, typer.Option(help="Approximate source tokens per batch.", min=1, max=10**7)
    ] = 4096,
    wait: Annotated[float, typer.Option(help="Batching delay in milliseconds.", min=0, max=60_000)] = 2.0,
    queue: Annotated[int, _limit("queued texts; beyond it, 429", high=10**6)] = 2000,
    max_body: Annotated[int, _limit("bytes of a request", low=1000, high=10**9)] = 1_000_000,
    max_texts: Annotated[int, _limit("texts in a request", high=10**6)] = 256,
    max_characters: Annotated[int, _limit("characters of a text", high=10**8)] = 20_000,
    max_tokens: Annotated[int, _limit("tokens of a text", high=10**8)] = 16_384,
    max_inspected: Annotated[
        int,
        typer.Option(
            "--max-inspected",
            "--max-looked",  # its older name
            help="Maximum tokens of a text that is inspected, or of an output that is forced.",
            min=1,
            max=10**6,
        ),
    ] = 512,
    max_work: Annotated[
        int, _limit("tokens of all texts of a request, times the outputs of each", high=10**12)
    ] = 500_000,
    max_memory: Annotated[int, _limit("memory of a request in MB, as estimated", high=10**7)] = 128,
    timeout: Annotated[float, _limit("seconds of a request", low=0.1, high=86_400)] = 30.0,
) -> None:
    """Serve models: a page to try them on, and a REST interface (its description is at /openapi.json)."""
    _check_installed()
    from atonce.models.threads import use_threads
    from atonce.serve.limits import Limits

    limits = Limits.parse(
        dict(
            body=max_body, texts=max_texts, characters=max_characters, seconds=timeout, queue=queue,
            batch_tokens=batch_tokens, wait=wait, tokens=max_tokens, inspected=max_inspected, work=max_work,
            memory=max_memory,
        ),
        origin="the options",
    )  # fmt: skip
    use_threads(threads)
    _run(runs, limits, host=host, port=port, token=_read_token(token_file), fast=fast)


def _check_installed() -> None:
    """Raises RunError without the packages of the serve extra."""
    from atonce.errors import RunError, not_installed

    try:
        from atonce.serve import server  # noqa: F401 (imports all of the extra)
    except ImportError as error:
        why = f"the server needs packages that are missing ({error.name})"
        raise not_installed("the serve extra is not installed", why, "serve", kind=RunError) from None


def _run(runs: list[Path], limits: "Limits", *, host: str, port: int, token: str | None, fast: bool) -> None:
    from atonce.serve.app import build_app
    from atonce.serve.registry import ModelRegistry
    from atonce.serve.server import run

    # A page from elsewhere can give its own name the address of this machine (DNS rebinding): its requests
    # then have that name as Host. Whoever listens on other addresses may have any name.
    hosts = (*LOOPBACK, "[::1]") if host in LOOPBACK else None
    app = build_app(ModelRegistry.open(runs, fast=fast), limits, token=token, hosts=hosts)
    if token is None and hosts is None:
        typer.echo(
            "warning: anyone who reaches this machine can use the server; --token-file FILE prevents that",
            err=True,
        )
    # Said once it answers, on stderr, so that a script can wait for the line and stdout stays empty.
    run(app, host=host, port=port, ready=lambda address: typer.echo(f"serving at {address}", err=True))


def _read_token(file: Path | None) -> str | None:
    """The token in a file. Raises DataError if there is none."""
    # From a file, not an option: every user of the machine can read the command lines of others.
    from atonce.errors import DataError, unreadable

    if file is None:
        return None
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(file, error, kind=DataError) from None
    # What a header can carry: another token would never be matched by a request.
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise DataError(
            f"there is no token in {file}",
            why="a token is one word of printable ASCII characters",
            fix=f"make one: python -c 'import secrets; print(secrets.token_urlsafe())' > {file}",
        )
    return token
