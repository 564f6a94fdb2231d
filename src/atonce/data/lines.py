"""The lines of a text: one rule for all files and for standard input, whatever is read from them.

A text is UTF-8; or UTF-16 or UTF-32 with its byte order mark; plain, or packed (see `packed`). A line ends at
"\\n", to which every "\\r" before it belongs, and nowhere else: Python's own idea of a line also ends at
U+0085 and U+2028, which occur inside real sentences and would tear pairs apart. Byte order marks at the
beginning of a line, where files were put together, are no text. A zero byte is an error: no text has one.
So is a line of more than `LONGEST_LINE` bytes, at which reading ends: a text, or what it is packed in, may
have no line ends at all and be without end.
"""

import codecs
import io
import re
import stat
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import cast

from atonce.config import printable
from atonce.data.encodings import BYTE_ORDER_MARK, check_is_text, marked_encoding, not_utf8
from atonce.data.packed import opened
from atonce.errors import DataError, unreadable

LONGEST_LINE = 1 << 24
"""Bytes: ten times the Bible in one line are more, and no sentence."""
_BYTES_AT_ONCE = 1 << 16  # in whole lines: line by line, reading takes twice as long
_MARKS_AT_BEGINNINGS = re.compile(f"^{BYTE_ORDER_MARK}+", re.MULTILINE)


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text without their line ends.

    Raises DataError if the file cannot be read, is broken where it is packed, or is no text (line named).
    """
    return _decoded(_raw_lines(path), str(path))


def read_stdin() -> Iterator[str]:
    """The lines of standard input, as `read_lines` has those of a file; not packed. Raises DataError."""
    stream = cast(io.BufferedIOBase, sys.stdin.buffer)
    return _decoded(_whole_lines(stream, "standard input", at_once=0), "standard input")


def existing(path: str | Path) -> Path:
    """The path with ~ expanded, if it can be opened: better known now than after minutes of reading.

    Raises DataError if it cannot, or if it is a pipe, which can be read only once.
    """
    path = Path(path)
    try:
        path = path.expanduser()
        mode = path.stat().st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            raise DataError(
                f"{path} is a pipe, not a file",
                why="a corpus is read several times, and what comes from a pipe is there only once",
                fix="write it to a file, and name that",
            )
        if stat.S_ISCHR(mode):
            raise DataError(
                f"{path} is a device, not a file",
                why="what comes from one may be without end, and other the next time",
                fix="write it to a file, and name that",
            )
        path.open("rb").close()
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable(path, error) from None
    return path


def _unreadable(path: Path, error: Exception) -> DataError:
    """ValueError: a path with a zero byte, or half a character; RuntimeError: `~` of nobody."""
    if isinstance(error, FileNotFoundError):
        fix = "check the path" if path.is_absolute() else f"check the path; it is looked up from {Path.cwd()}"
        return DataError(f"there is no file {path}", why="it was named as text to read", fix=fix)
    return unreadable(
        printable(str(path)), error, fix="check that it is a file, and yours to read", kind=DataError
    )


def _raw_lines(path: Path) -> Iterator[bytes]:
    """The bytes of a file, in whole lines, some at once. Raises DataError."""
    try:
        with opened(path) as stream:
            yield from _whole_lines(stream, str(path), at_once=_BYTES_AT_ONCE)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def _whole_lines(stream: io.BufferedIOBase, name: str, *, at_once: int) -> Iterator[bytes]:
    """About so many bytes at once, up to a line end or the end; 0: a line as soon as it is there.

    Raises DataError for a line that is too long.
    """
    before = 0
    while True:
        raw = stream.read(at_once)
        if not raw.endswith(b"\n"):
            rest = stream.readline(LONGEST_LINE + 1)
            if len(rest) > LONGEST_LINE:
                raise _too_long(name, before + raw.count(b"\n") + 1)
            raw += rest
        if not raw:
            return
        yield raw
        before += raw.count(b"\n")


def _decoded(raw_lines: Iterator[bytes], name: str) -> Iterator[str]:
    """Text without line ends from the bytes of the file `name`, some lines at once. Raises DataError."""
    head = next(raw_lines, None)
    if head is None:
        return
    raw_lines = chain([head], raw_lines)
    if (encoding := marked_encoding(head)) is not None:
        raw_lines = _transcoded(raw_lines, encoding, name)
    else:
        check_is_text(head, name)
    lines_before, bytes_before = 0, 0
    for raw in raw_lines:
        broken = None
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
        lines_before, bytes_before = lines_before + raw.count(b"\n"), bytes_before + len(raw)


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


def _transcoded(raw_lines: Iterator[bytes], encoding: str, name: str) -> Iterator[bytes]:
    """The lines of a text in UTF-16 or UTF-32 as those of one in UTF-8. Raises DataError if it is broken."""
    decoder, rest, before, lines = codecs.getincrementaldecoder(encoding)(), "", 0, 1
    for chunk in chain(raw_lines, [None]):
        raw = chunk or b""
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
        if whole:
            yield text[:whole].encode()
        lines, rest = lines + text.count("\n"), text[whole:]
        if len(rest) > LONGEST_LINE:
            raise _too_long(name, lines)


def _too_long(name: str, line: int) -> DataError:
    return DataError(
        f"{name}, line {line} has more than {LONGEST_LINE:,} bytes",
        why="a line is one text: a sentence, or an article; it seems to have lost its line ends",
        fix="put each text on a line of its own",
    )


def _zero(name: str, line: int) -> DataError:
    return DataError(
        f"{name}, line {line} has a zero byte",
        why="no text has one: something else was written into it, or it is no text",
        fix="mend that line; or take all of them out: tr -d '\\000' < OLD > NEW",
    )
