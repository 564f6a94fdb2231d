"""Pairs in the user's own files: two line-aligned texts, a table of columns, or JSON lines.

All are UTF-8, plain or gzip. A line ends at "\\n" or "\\r\\n" and nowhere else: Python's own idea of a
line also ends at U+0085 and U+2028, which occur inside real sentences and would tear pairs apart.
"""

import gzip
import io
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from atonce.config import nearest
from atonce.data.config import FilesConfig, TableConfig
from atonce.data.corpora import Corpus, Pair
from atonce.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = "\ufeff"
_BYTES_AT_ONCE = 1 << 16  # in whole lines: line by line, reading takes twice as long


def open_files(config: FilesConfig) -> Corpus:
    """Two line-aligned texts, and those for validation and test where they are given.

    Raises DataError if one of them cannot be opened.
    """

    def aligned(source: str | Path | None, target: str | Path | None) -> Callable[[], Iterator[Pair]] | None:
        if source is None or target is None:
            return None
        return partial(read_aligned, _existing(source), _existing(target))

    train = aligned(config.source, config.target)
    assert train is not None
    return Corpus(
        train=train,
        valid=aligned(config.valid_source, config.valid_target),
        test=aligned(config.test_source, config.test_target),
        about=f"the user's own files {config.source} and {config.target}",
    )


def open_table(config: TableConfig) -> Corpus:
    """A table, and those for validation and test where they are given.

    Raises DataError if one of them cannot be opened.
    """
    read = read_tsv if config.kind == "tsv" else read_jsonl

    def table(path: Path | None) -> Callable[[], Iterator[Pair]] | None:
        return None if path is None else partial(read, _existing(path), config.source, config.target)

    train = table(config.path)
    assert train is not None
    return Corpus(
        train=train,
        valid=table(config.valid_path),
        test=table(config.test_path),
        about=f"the user's own file {config.path}, {config.source} to {config.target}",
    )


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 text, plain or gzip, without their line ends.

    Raises DataError if the file cannot be read, is broken gzip, or is not UTF-8 (line and byte named).
    """
    return _decoded(_raw_lines(path), str(path))


def read_stdin() -> Iterator[str]:
    """The lines of standard input, which must be UTF-8, without their line ends. Raises DataError."""
    return _decoded(([line] for line in sys.stdin.buffer), "standard input")


def _decoded(raw_lines: Iterable[list[bytes]], name: str) -> Iterator[str]:
    """Text without line ends from the bytes of the file `name`, some lines at once. Raises DataError."""
    lines_before, bytes_before = 0, 0
    for lines in raw_lines:
        raw, broken = b"".join(lines), None
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            text = raw[: raw.rfind(b"\n", 0, error.start) + 1].decode("utf-8")
            number, byte = lines_before + text.count("\n") + 1, bytes_before + error.start
            broken = DataError(
                f"{name} is not UTF-8: line {number}, byte {byte} (counted from 0)",
                why=f"byte 0x{raw[error.start]:02x} is impossible there: {error.reason}",
                fix="save the file as UTF-8, for example: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW",
            )
        if text:
            text = text if bytes_before else text.removeprefix(_BYTE_ORDER_MARK)
            yield from text.replace("\r\n", "\n").removesuffix("\n").split("\n")
        if broken:
            raise broken
        lines_before, bytes_before = lines_before + len(lines), bytes_before + len(raw)


def read_aligned(source: Path, target: Path) -> Iterator[Pair]:
    """Line i of `source` with line i of `target`. Raises DataError as `read_lines`, or if one ends first."""
    try:
        yield from map(Pair._make, zip(read_lines(source), read_lines(target), strict=True))
    except ValueError:
        counts = [sum(1 for _ in read_lines(path)) for path in (source, target)]
        raise DataError(
            f"{source} has {counts[0]:,} lines and {target} has {counts[1]:,}",
            why="line 1 belongs to line 1, line 2 to line 2, and so on; one file ends too soon",
            fix="look for lines that were lost or split, and make the files equally long",
        ) from None


def read_tsv(path: Path, source: str, target: str) -> Iterator[Pair]:
    """Two of the tab-separated columns of a table, by name or by number from 1.

    Names stand in the first line. If only numbers are given, the first line is a pair like any other,
    unless the numbers are themselves names there. Nothing is quoted. Raises DataError as `read_lines`, if
    there is no such column, or if a line has too few.
    """
    lines = read_lines(path)
    first = next(lines, None)
    if first is None:
        return
    header = first.split("\t")
    left, right = _column(source, header, path), _column(target, header, path)
    has_header = any(name in header or not _is_number(name) for name in (source, target))
    if not has_header:
        yield Pair(header[left], header[right])
    needed = max(left, right)
    for number, line in enumerate(lines, start=2):
        fields = line.split("\t")
        if needed >= len(fields):
            raise DataError(
                f"{path}, line {number}: column {needed + 1} is missing",
                why=f"the line has {_counted(len(fields), 'column')}, the first line has {len(header)}",
                fix="columns are separated by one tab each; mend the line or leave it out",
            )
        yield Pair(fields[left], fields[right])


def read_jsonl(path: Path, source: str, target: str) -> Iterator[Pair]:
    """Two of the keys of the JSON objects in a file, one object a line. Blank lines are skipped.

    A line end inside a text becomes a space. Raises DataError as `read_lines`, or if a line is not such
    an object (line named).
    """
    for number, line in enumerate(read_lines(path), start=1):
        if line and not line.isspace():
            row = _json_object(line, path, number)
            yield Pair(_text(row, source, path, number), _text(row, target, path, number))


def _existing(path: str | Path) -> Path:
    """The path with ~ expanded, if it can be opened: better known now than after minutes of reading."""
    path = Path(path).expanduser()
    try:
        path.open("rb").close()
    except OSError as error:
        raise _unreadable(path, error) from None
    return path


def _unreadable(path: Path, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        fix = "check the path" if path.is_absolute() else f"check the path; it is looked up from {Path.cwd()}"
        return DataError(f"there is no file {path}", why="it was named as text to read", fix=fix)
    return DataError(
        f"cannot read {path}",
        why=error.strerror or str(error),
        fix="check that it is a file, and yours to read",
    )


def _raw_lines(path: Path) -> Iterator[list[bytes]]:
    """The lines as they are in the file, line ends included, some at once."""
    try:
        with _opened(path) as stream:
            while lines := stream.readlines(_BYTES_AT_ONCE):
                yield lines
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} is broken gzip",
            why=str(error).lower().rstrip("."),
            fix=f"fetch or pack it again; `gzip -t {path}` tests it",
        ) from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _opened(path: Path) -> gzip.GzipFile | io.BufferedReader:
    with path.open("rb") as stream:
        packed = path.suffix == ".gz" or stream.read(2) == _GZIP_MAGIC
    return gzip.open(path) if packed else path.open("rb")


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _column(name: str, header: list[str], path: Path) -> int:
    """The index of the column called `name`, or of that number."""
    if name in header:
        return header.index(name)
    if not _is_number(name):
        raise DataError(
            f"{path} has no column {name!r}",
            why=f"its first line names {_counted(len(header), 'column')}",
            fix=f"{nearest(name, header)} A number, from 1, also names a column",
        )
    if not 1 <= int(name) <= len(header):
        raise DataError(
            f"{path} has no column {name}",
            why=f"its first line has {_counted(len(header), 'column')}, separated by tabs",
            fix=f"give a number from 1 to {len(header)}, or a name from the first line",
        )
    return int(name) - 1


def _json_object(line: str, path: Path, number: int) -> dict[str, object]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(
            f"{path}, line {number} is not JSON", why=str(error), fix="put one whole JSON object on each line"
        ) from None
    if not isinstance(row, dict):
        raise DataError(
            f"{path}, line {number} is not a JSON object",
            why=f"it is a {type(row).__name__}",
            fix='each line looks like {"en": "...", "de": "..."}',
        )
    return row


def _text(row: dict[str, object], key: str, path: Path, number: int) -> str:
    """The text under `key`, on one line."""
    if key not in row:
        fix = nearest(key, list(row)) if row else "the object is empty; leave the line out"
        raise DataError(
            f"{path}, line {number} has no key {key!r}", why="the recipe names it as a side", fix=fix
        )
    text = row[key]
    if not isinstance(text, str):
        raise DataError(
            f"{path}, line {number}: {key!r} is not a text",
            why=f"it is a {type(text).__name__}",
            fix="put it in quotation marks, or name another key",
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{path}, line {number}: {key!r} holds half a character",
            why=f"\\u{ord(text[error.start]):04x} is one half of a surrogate pair",
            fix="write the character itself, or both of its halves",
        ) from None
    return text.replace("\r\n", " ").replace("\n", " ").replace("\r", " ")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
