"""The decorator of compiled functions, and where compiled code is kept.

numba keeps code next to its source, and looks at one file to see whether it is outdated. These functions call
others from other files, so their code is kept in a folder whose name changes with any of them.
"""

import hashlib
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, TypeVar

import numba
import pooch
from numba.core.caching import FunctionCache, IndexDataCacheFile

from atonce.disk import remove_partial, replacing

Function = TypeVar("Function", bound=Callable[..., Any])

# "ninf" is not among them: closed tokens and places behind the last have scores of -inf.
FAST = {"reassoc", "contract", "arcp", "nsz", "nnan"}
"""What the compiler may take for granted, to compute many numbers at once: sums may be taken in any order. It
is the same order for all rows, so what is computed of one does not depend on those beside it."""


def compiled(function: Function) -> Function:
    """`function` as machine code, made when it is first called, and kept. It runs beside other threads."""
    # numpy's way with a division by zero: Python's leaves the loop with an error, which no vector can do.
    # Under test functions are wrapped to check shapes; numba takes what is inside.
    made: Any = numba.njit(nogil=True, fastmath=FAST, error_model="numpy")(inspect.unwrap(function))
    if (folder := _folder()) is None:
        return made  # it is compiled again in each process
    config: Any = numba.config
    # numba asks for the folder at this moment alone; code that others compile stays where they want it.
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        made._cache = _Kept(made.py_func)
    finally:
        config.CACHE_DIR = before
    return made


class _Summed(IndexDataCacheFile):
    """numba's files, with the SHA-256 of each at its end, which it passes over. Without it none is read.

    They appear as all others do: what numba leaves when it is killed has no owner.
    """

    def _load_index(self) -> Any:
        return super()._load_index() if _has_sum(Path(self._index_path)) else {}

    def _load_data(self, name: str) -> Any:
        if not _has_sum(Path(self._data_path(name))):
            raise FileNotFoundError(name)
        return super()._load_data(name)

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[IO[bytes]]:
        with replacing(Path(filepath)) as partial, partial.open("wb") as file:
            yield file
            file.flush()
            file.write(hashlib.sha256(partial.read_bytes()).digest())


def _has_sum(path: Path) -> bool:
    if not path.is_file():
        return False
    content = path.read_bytes()
    return content[-32:] == hashlib.sha256(content[:-32]).digest()


class _Kept(FunctionCache):
    """numba's own way to keep code, but for faults: what cannot be read or written is compiled again."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _Summed(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=self._impl.locator.get_source_stamp(),
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Code that was kept; None if there is none, or it is damaged."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a damaged file may raise anything
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep code, if it can be."""
        with suppress(Exception):  # the disk may be full, the index damaged
            super().save_overload(sig, data)


@cache
def _folder() -> Path | None:
    """Where compiled code is kept; None if nothing can be read or written there."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    folder = Path(pooch.os_cache("atonce")) / "kernels" / digest
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for inner in folder.iterdir():  # numba makes one for each place of sources
            remove_partial(inner)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None
