"""The lines of a text: one rule for all files and for standard input, whatever is read from them.

A text is UTF-8; or UTF-16 or UTF-32 with its byte order mark; plain, or packed (see `packed`). A line ends at
"\\n", to which every "\\r" before it belongs, and nowhere else: Python's own idea of a line also ends at
U+0085 and U+2028, which occur inside real sentences and would tear pairs apart. Byte order marks at the
beginning of a line, where files were put together, are no text. A zero byte is an error: no text has one.
"""

import codecs
import io
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from atonce.data.encodings import BYTE_ORDER_MARK, check_is_text, marked_encoding, not_utf8
from atonce.data.packed import opened
from atonce.disk import place
from atonce.errors import DataError

_BYTES_AT_ONCE = 1 << 16  # in whole lines: line by line, reading takes twice as long
_MARKS_AT_BEGINNINGS = re.compile(f"^{BYTE_ORDER_MARK}+", re.MULTILINE)


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text without their line ends.

    Raises DataError if the file cannot be read, is broken where it is packed, or is no text (line named).
    """
    return _decoded(_raw_lines(path), str(path))


def read_stdin() -> Iterator[str]:
    """The lines of standard input, as `read_lines` has those of a file; not packed. Raises DataError."""
    return _decoded(([line] for line in sys.stdin.buffer), "standard input")


def existing(path: str | Path) -> Path:
    """The path with ~ expanded, if it can be opened: better known now than after minutes of reading.

    Raises DataError if it cannot, or if it is a pipe, which can be read only once.
    """
    try:
        path = Path(path).expanduser()
    except RuntimeError as error:  # ~ of somebody who is not known here
        raise DataError(f"cannot read {path}", why=str(error), fix="write the path without ~") from None
    path = place(path, DataError, what="cannot read")
    try:
        if path.is_fifo():
            raise DataError(
                f"{path} is a pipe, not a file",
                why="a corpus is read several times, and what comes from a pipe is there only once",
                fix="write it to a file, and name that",
            )
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
    path = place(path, DataError, what="cannot read")
    try:
        with opened(path) as stream:
            while lines := stream.readlines(_BYTES_AT_ONCE):
                yield lines
    except OSError as error:
        raise _unreadable(path, error) from None


def _decoded(raw_lines: Iterable[list[bytes]], name: str) -> Iterator[str]:
    """Text without line ends from the bytes of the file `name`, some lines at once. Raises DataError."""
    raw_lines = iter(raw_lines)
    first = next(raw_lines, None)
    if first is None:
        return
    raw_lines = chain([first], raw_lines)
    head = b"".join(first)
    if (encoding := marked_encoding(head)) is not None:
        raw_lines = _transcoded(raw_lines, encoding, name)
    else:
        check_is_text(head, name)
    lines_before, bytes_before = 0, 0
    for lines in raw_lines:
        raw, broken = b"".join(lines), None
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            text = raw[: raw.rfind(b"\n", 0, error.start) + 1].decode("utf-8")
            number, byte = lines_before + text.count("\n") + 1, bytes_before + error.start
            broken = not_utf8(name, raw, number, byte, error)
        if "\0" in text:
            broken = _zero(name, lines_before + text.count("\n", 0, text.index("\0")) + 1)
            text = text[: text.rfind("\n", 0, text.index("\0")) + 1]
        if text:
            yield from _split(text, name, is_first=lines_before == 0)
        if broken:
            raise broken
        lines_before, bytes_before = lines_before + len(lines), bytes_before + len(raw)


def _split(text: str, name: str, *, is_first: bool) -> list[str]:
    """Whole lines of a text. Raises DataError if it has none, but returns in their place."""
    while "\r\n" in text:
        text = text.replace("\r\n", "\n")
    if text.endswith("\n"):
        text = text[:-1]
    else:  # the last line
        text = text.rstrip("\r")
        if is_first and "\n" not in text and "\r" in text:
            raise DataError(
                f"the lines of {name} end in carriage returns alone",
                why="so they did on old Macs; a line ends at a line feed, or at both",
                fix="tr '\\r' '\\n' < OLD > NEW",
            )
    if BYTE_ORDER_MARK in text:
        text = _MARKS_AT_BEGINNINGS.sub("", text)
    return text.split("\n")


def _transcoded(raw_lines: Iterable[list[bytes]], encoding: str, name: str) -> Iterator[list[bytes]]:
    """The lines of a text in UTF-16 or UTF-32 as those of one in UTF-8. Raises DataError if it is broken."""
    decoder, rest, before = codecs.getincrementaldecoder(encoding)(), "", 0
    for chunk in chain(raw_lines, [None]):
        raw = b"" if chunk is None else b"".join(chunk)
        try:
            text = rest + decoder.decode(raw, final=chunk is None)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name} is broken {encoding.upper()}, which its byte order mark says it is",
                why=f"{error.reason}, near byte {before + error.start}",
                fix="fetch it again, or save it as UTF-8",
            ) from None
        before += len(raw)
        whole = len(text) if chunk is None else text.rfind("\n") + 1
        if lines := io.BytesIO(text[:whole].encode()).readlines():
            yield lines
        rest = text[whole:]


def _zero(name: str, line: int) -> DataError:
    return DataError(
        f"{name}, line {line} has a zero byte",
        why="no text has one: something else was written into it, or it is no text",
        fix="mend that line; or take all of them out: tr -d '\\000' < OLD > NEW",
    )
