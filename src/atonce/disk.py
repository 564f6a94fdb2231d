"""Files appear whole or not at all: what was there before stays until what replaces it is safely written."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from atonce.errors import DiskError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Within the block, write the file or folder given; after it, that stands in place of the file `path`.

    If the block fails, or the machine dies in it, `path` is what it was. A folder takes no other folder's
    place: that could not be done at one stroke. Missing parents are made.
    Raises DiskError where the disk is full or does not let us write.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        for file in partial.rglob("*") if partial.is_dir() else [partial]:
            _flush(file)
        partial.replace(path)
    except OSError as error:
        raise disk_error(path, error) from error
    finally:
        _remove(partial)


def remove_partial(folder: Path) -> None:
    """Remove what killed processes left half-written in `folder`. Nobody else may be writing there."""
    for partial in folder.glob(".*.partial-*"):
        _remove(partial)


def write_text(path: Path, text: str) -> None:
    """Put `text` into the file `path`, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Put `value` as readable JSON into the file `path`, whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def disk_error(path: Path, error: OSError) -> DiskError:
    """What to tell a user whose disk did not take a file."""
    return DiskError(
        f"cannot write {path}",
        why=f"{error.strerror or error}; nothing was changed there",
        fix="make room or choose another place, then run the same command again",
    )


def _remove(partial: Path) -> None:
    """Remove a file or folder, as far as the disk lets us."""
    shutil.rmtree(partial, ignore_errors=True)
    with suppress(OSError):
        partial.unlink(missing_ok=True)


def _flush(file: Path) -> None:
    """Wait until the disk has it: a rename may otherwise outlive the contents in a power cut."""
    if file.is_file():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
