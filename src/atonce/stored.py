"""What was stored is read as it was written, or not at all.

A folder keeps `sums.json`: length and SHA-256 of each file that is stored in it. Where a file changes, the
new sum is written down before the file takes its place, and the old one is let go after that, so that a
process may be killed at any moment. What has no sum, as in folders of older versions, is read without.
(Checkpoints are folders that are put in their places at one stroke, and keep their sums themselves.)
"""

import errno
import hashlib
import json
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atonce.disk import LOCK, replacing, write_json
from atonce.errors import RESTORE, RunError, damaged, reason, unreadable

SUMS = "sums.json"
MOST_BYTES = 1 << 30
"""Of a file that is read as a whole: none that a training writes has as many."""
MOST_OF_JSON = 1 << 26
"""Bytes of a JSON file: a million labels have a third of that."""
MOST_VALUES = 4_000_000
"""In JSON that is read at once: as objects, each takes up to a hundred bytes, and of text two or three."""
LONGEST_LINE = 1 << 26
"""Bytes of a line that is read: two texts, as long as lines of a corpus may be, fit in."""
_TRIES = 5
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class Sum:
    """Of a file, or of its beginning."""

    bytes: int
    sha256: str


Sums = dict[str, list[Sum | None]]
"""Of each file by name: the sums it may have, the newest last; None where it need not be there."""


def read_bytes(path: Path, *, most: int = MOST_BYTES) -> bytes:
    """A whole file. Raises OSError, too, for what is no regular file (it may be endless) or far too long."""
    check_regular(path, most=most)
    return path.read_bytes()


def read_json(path: Path, *, finite: bool = True) -> Any:
    """The value in a JSON file. Raises OSError as `read_bytes`, or ValueError as `parse_json`."""
    return parse_json(read_bytes(path, most=MOST_OF_JSON), finite=finite)


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, with their ends; it may be of any length, of which little is in memory at once.

    Raises OSError for what is no regular file, and ValueError for a line that is far too long.
    """
    check_regular(path)
    with path.open("rb") as file:
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                raise ValueError(f"it has a line of {LONGEST_LINE:,} bytes or more")
            yield line


def parse_json(content: bytes, *, finite: bool = True) -> Any:
    """Raises ValueError for what is not UTF-8, is nested too deeply, has too many values, or is not JSON.

    Half a character is not, nor is NaN, but for Python, and where `finite` is false.
    """
    # Before parsing, as objects fill the memory. All values but the first stand behind one of these marks.
    if sum(content.count(mark) for mark in (b",", b"[", b"{")) > MOST_VALUES:
        raise ValueError(f"it has more than {MOST_VALUES:,} values")
    text = content.decode("utf-8")
    try:
        value = json.loads(text, parse_constant=_no_number) if finite else json.loads(text)
        # Only escapes can spell half a character. Two may be a whole one, so writing it decides.
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


_OF_CONTENT = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EFBIG, errno.ELOOP}
_NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "out of memory")


class Unreadable(RunError):
    """The system does not give a file now, which says nothing of what it holds: it may be whole."""


def fault(path: Path, error: Exception, *, fix: str = RESTORE) -> RunError:
    """What to tell a user whose file could not be read. Raises MemoryError where there is not enough."""
    if ran_out_of_memory(error):
        raise MemoryError(f"{reason(error)}, for {path}") from error
    # A disk that fails or rights that are missing say nothing of the file: it must not be called damaged.
    if isinstance(error, OSError) and error.errno not in {*_OF_CONTENT, None}:
        return unreadable(
            path,
            f"{reason(error)}; that says nothing of what it holds",
            fix="check the disk and your rights, then run the same command again",
            kind=Unreadable,
        )
    return damaged(path, error, fix=fix)


def ran_out_of_memory(error: Exception) -> bool:
    """Whether that is what an error of the system, of Python or of torch says."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = str(error).lower()
    in_torch = isinstance(error, RuntimeError) and any(words in said for words in _NO_MEMORY)
    return in_torch or isinstance(error, MemoryError)


def check(folder: Path, name: str, *, fix: str | None = None) -> bool:
    """Whether a sum was kept of the file `name` in `folder`, which it then has.

    Raises RunError, with `fix` as what to do, if it is another or is missing.
    """
    wanted: list[Sum | None] = []
    for _ in range(_TRIES):
        wanted = _read(folder).get(name, [])
        if not wanted:
            return False
        # Lengths first: a file of another length need not be read to be known as another.
        found = _found(folder / name, {one.bytes for one in wanted if one is not None})
        if found in wanted:
            return True
        if _read(folder).get(name) == wanted:  # or else a training has just put another in its place
            break
    raise damaged(folder / name, _what_is_wrong(folder / name, wanted), fix=fix or _fix(folder))


def names(folder: Path, beginning: str) -> list[str]:
    """Of all files that sums were kept of, those whose names begin so."""
    return [name for name in _read(folder) if name.startswith(beginning)]


def is_wanted(folder: Path, name: str) -> bool:
    """Whether the sums of `folder` say that this file must be there."""
    return None not in _read(folder).get(name, [None])


@contextmanager
def replacing_with_sum(path: Path) -> Iterator[Path]:
    """As `disk.replacing`, of one file, whose sum is kept in the sums of its folder."""
    with replacing(path) as partial:
        yield partial
        new = {path.name: sum_of_file(partial)}
        expect(path.parent, new)
    settle(path.parent, new)


def write_json_with_sum(path: Path, value: Any) -> None:
    """As `disk.write_json`, with the sum kept."""
    with replacing_with_sum(path) as partial:
        partial.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def sums_below(folder: Path) -> dict[str, Sum]:
    """Of every file in a folder, by its path in there; but for its lock, which is not stored."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / LOCK)
    return {path.relative_to(folder).as_posix(): sum_of_file(path) for path in files}


def expect(folder: Path, new: Mapping[str, Sum]) -> None:
    """Write down what files will be: until `settle`, they may be that or what they were."""
    files = _read(folder)
    for name, one in new.items():
        # A file without a sum gets that of what it is now, or it would be damaged if we are killed here.
        before = files.get(name) or [_found(folder / name, None)]
        files[name] = [*(other for other in before if other != one), one]
    _write(folder, files)


def settle(folder: Path, new: Mapping[str, Sum]) -> None:
    """Files are what was expected."""
    files = _read(folder)
    for name, one in new.items():
        files[name] = [one]
    _write(folder, files)


def settle_all(folder: Path) -> None:
    """Files are what they are: let go of what others would have been that a process was killed over.

    Only for who writes in this folder.
    """
    before = _read(folder)
    after: Sums = {}
    for name, sums in before.items():
        # One sum is settled. Of two, the file has the one that it got to; or neither, and `check` tells.
        found = _found(folder / name, None) if len(sums) > 1 else None
        if len(sums) == 1 or (found is not None and found not in sums):
            after[name] = sums
        elif found is not None:
            after[name] = [found]
    if after != before:
        _write(folder, after)


def forget_missing(folder: Path) -> None:
    """Keep no sums of files that are not there: what was in a folder before says nothing of what comes.

    Nor a file of sums without any.
    """
    files = _read(folder)
    left = {name: sums for name, sums in files.items() if (folder / name).exists()}
    if left == files:
        return
    if left:
        _write(folder, left)
    else:
        (folder / SUMS).unlink(missing_ok=True)


def digest(value: Any) -> str:
    """Of a value, as JSON has it, however it is laid out there."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def check_regular(path: Path, *, most: int | None = None) -> int:
    """How long a file is. Raises OSError for what is none."""
    # First of all: a pipe or a device in a file's place would be waited for without end.
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        is_folder = stat.S_ISDIR(status.st_mode)
        raise OSError(errno.EINVAL, "it is a folder" if is_folder else "it is not a regular file", str(path))
    if most is not None and status.st_size > most:
        raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes", str(path))
    return status.st_size


def _found(path: Path, lengths: set[int] | None) -> Sum | None:
    """The sum of a file; None if there is none. One of another length is not read to its end."""
    try:
        length = check_regular(path)
        if lengths is not None and length not in lengths:
            return Sum(length, "")
        return sum_of_file(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise fault(path, error) from None


def _sum_of(content: bytes) -> Sum:
    return Sum(len(content), hashlib.sha256(content).hexdigest())


def sum_of_file(path: Path) -> Sum:
    """Of what a file holds now. It is read once: about two seconds a GB."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Sum(file.tell(), digest)


def _read(folder: Path) -> Sums:
    """The sums of a folder; none, if there are none. Raises RunError."""
    path = folder / SUMS
    try:
        values = read_json(path)
        if values["sum"] != digest(values["files"]):
            raise ValueError("it does not have its own sum")
        return {
            name: [None if one is None else Sum(**one) for one in sums]
            for name, sums in values["files"].items()
        }
    except FileNotFoundError:
        if path.is_symlink():
            raise damaged(path, "it is a link to nothing", fix=_WITHOUT) from None
        return {}
    except NotADirectoryError:
        return {}
    # The last three: JSON, but of another form.
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise fault(path, error, fix=_WITHOUT) from None


_WITHOUT = "restore it from a copy, or delete it; then files are read without being compared with their sums"


def _write(folder: Path, files: Sums) -> None:
    plain = {name: [one and vars(one) for one in sums] for name, sums in sorted(files.items())}
    write_json(folder / SUMS, {"files": plain, "sum": digest(plain)})


def _what_is_wrong(path: Path, wanted: Iterable[Sum | None]) -> str:
    """What became of a file that does not have its sum, as far as that can be told."""
    lengths = [one.bytes for one in wanted if one is not None]
    try:
        length = check_regular(path)
        if length > MOST_BYTES:
            return f"it is {length:,} bytes long, and was {lengths[-1]:,}"
        content = path.read_bytes()
    except FileNotFoundError:
        return "it is a link to nothing" if path.is_symlink() else "it is missing"
    except OSError as error:
        return reason(error)
    if content.startswith(_LFS):
        return "it is a pointer of Git LFS, which `git lfs pull` replaces by the file"
    # Not a guess: with the other line ends, it has its sum.
    if _sum_of(content.replace(b"\r\n", b"\n")) in wanted:
        return "its line ends were changed to CRLF, as git does with core.autocrlf"
    if len(content) not in lengths:
        return f"it is {len(content):,} bytes long, and was {lengths[-1]:,}"
    return _not_as_stored(path.parent)


def _not_as_stored(folder: Path) -> str:
    return f"it is not what was stored: its SHA-256 is another than in {folder / SUMS}"


def _fix(folder: Path) -> str:
    return (
        f"restore it from a copy, or train again; if it was changed on purpose, delete {folder / SUMS}, and "
        "files are read without being compared"
    )


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is not JSON")
