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
import unicodedata
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import cast

from atonce.config import printable
from atonce.data.packed import UNPACKED_BY, opened, packing_of
from atonce.errors import DataError, unreadable

LONGEST_LINE = 1 << 24
"""Bytes: ten times the Bible in one line are more, and no sentence."""
_BYTES_AT_ONCE = 1 << 16  # in whole lines: line by line, reading takes twice as long
BYTE_ORDER_MARK = "\ufeff"
_MARKS_AT_BEGINNINGS = re.compile(f"^{BYTE_ORDER_MARK}+", re.MULTILINE)

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_NO_TEXTS = {
    b"%PDF-": "a PDF document",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "a document of an older Office",
    b"{\\rtf": "a document in rich text",
    b"SQLite format 3\0": "an SQLite database",
    b"PAR1": "a Parquet table",
    b"ARROW1": "an Arrow table",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"\x04\x22\x4d\x18": "packed in lz4",
    b"LZIP\1": "packed in lzip",
    b"]\0\0": "packed in lzma, the format before xz",
    b"\x1f\x9d": "packed by compress",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x89PNG\r\n": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x7fELF": "a program",
    b"\x89HDF\r\n": "an HDF5 file",
}
_TAR = (b"ustar\0", b"ustar ")  # behind the name and the numbers of the first file
_CONTROLS = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_RUNS = re.compile(rb"[\x80-\xff]+")
_COMMON = re.compile("[\n\r\t -~]")
_PLAIN = frozenset(b"\n\r\t") | frozenset(range(32, 127))
_PAIRS_TO_TELL = 8
_SAMPLE = 1 << 14


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
        # stat does not say whether we may read it.
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
        # At once 0, this reads nothing and the next line waits for one line: who types wants an answer to it.
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
            # The lines before the fault are given first, as if they were read one by one.
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
    # Again and again: every "\r" before a line end belongs to it, and one round takes one of them.
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
        # Only whole lines go on: where they end is for the reader of UTF-8 to say, as in any other text.
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


def marked_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32, as Python calls it, where a text begins with its byte order mark."""
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)


def check_is_text(head: bytes, name: str) -> None:
    """Raises DataError if the file `name`, which begins with `head`, is known for something else than UTF-8.

    `head` is at least a line of it.
    """
    packing = packing_of(head)
    if packing is not None:
        raise DataError(
            f"{name} is packed in {packing}",
            why="what is packed in a packed file, or comes from a pipe, is not unpacked",
            fix=f"unpack it: {UNPACKED_BY[packing]} OLD > NEW",
        )
    known = next((what for sign, what in _NO_TEXTS.items() if head.startswith(sign)), None)
    if known is None and head[257:263] in _TAR:
        known = "a tar archive"
    if known is not None:
        raise DataError(
            f"{name} is {known}, not a text",
            why="it begins as such files do",
            fix="save what is to be read as a UTF-8 text, or name another file",
        )
    encoding = unmarked_encoding(head)
    if encoding is not None:
        raise _wide(name, encoding)


def unmarked_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32, as iconv calls it, where the bytes look like it without a byte order mark.

    ASCII signs, at least the line ends, are the zeros of such a text; nothing else has a zero at every other
    place, or zeros amid bytes that are not UTF-8. A word alone may be without zeros: then every other byte is
    the same control character.
    """
    head = head[:_SAMPLE]
    if b"\0" not in head:
        return next(
            (f"UTF-16{order}" for order, first in _HIGH.items() if _is_one_control(head[first::2])), None
        )
    for order in ("LE", "BE"):
        if len(head) >= 8 and _decoded_as(head, f"utf-32-{order.lower()}") is not None:
            return f"UTF-32{order}"
    if head.count(0) < 0.2 * len(head) and (_is_utf8_with_zeros(head) or _is_read_by_bytes(head)):
        return None
    texts = {order: _decoded_as(head, f"utf-16-{order.lower()}") or "" for order in _HIGH}
    best = max(texts, key=lambda order: len(_COMMON.findall(texts[order])))
    return f"UTF-16{best}" if _COMMON.search(texts[best]) else None


_HIGH = {"LE": 1, "BE": 0}
"""Which of two bytes is the higher one."""


def _is_one_control(high: bytes) -> bool:
    return len(high) > 1 and len(set(high)) == 1 and _CONTROLS.match(high) is not None


def _is_utf8_with_zeros(head: bytes) -> bool:
    """Whether zeros are all that keeps the bytes from being a text in UTF-8."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return len(_CONTROLS.findall(head)) == head.count(0)


def _is_read_by_bytes(head: bytes) -> bool:
    """Whether most pairs of bytes without a zero are two ASCII signs: in UTF-16, about a quarter may be."""
    pairs = [pair for pair in zip(head[::2], head[1::2], strict=False) if 0 not in pair]
    return len(pairs) >= _PAIRS_TO_TELL and sum(map(_PLAIN.issuperset, pairs)) > 0.75 * len(pairs)


def _decoded_as(head: bytes, encoding: str) -> str | None:
    """What the bytes spell in this encoding; None if that is no text."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return None
    odd = sum(
        unicodedata.category(sign) in ("Cc", "Cn", "Co", "Cs") and sign not in "\n\r\t" for sign in text
    )
    return None if "\0" in text or odd > 0.02 * len(text) else text


def _wide(name: str, encoding: str) -> DataError:
    return DataError(
        f"{name} looks like {encoding} without a byte order mark",
        why="every text is read as UTF-8, unless a mark at its beginning says otherwise",
        fix=f"iconv -f {encoding} -t UTF-8 OLD > NEW",
    )


def not_utf8(name: str, raw: bytes, line: int, byte: int, error: UnicodeDecodeError) -> DataError:
    """What to say of bytes of the file `name` that are not UTF-8. `raw`: these and those around them."""
    encoding = unmarked_encoding(raw)
    if encoding is not None:
        return _wide(name, encoding)
    return DataError(
        f"{name} is not UTF-8: line {line}, byte {byte} (counted from 0)",
        why=f"byte 0x{raw[error.start]:02x} is impossible there: {error.reason}",
        fix=_advice(raw, error),
    )


def _advice(raw: bytes, error: UnicodeDecodeError) -> str:
    """What helps, by what the bytes around look like. A code page is named only where it may be that one."""
    if len(_CONTROLS.findall(raw)) > 0.02 * len(raw):
        return "it has control characters, too, and seems to be no text: name another file"
    if error.reason == "unexpected end of data" and error.end == len(raw):
        return "it breaks off within a character: fetch it again, or leave the end out"
    # Other encodings hardly ever look like UTF-8: where most of the signs do, one line was spoilt.
    foreign = [sign for sign in raw.decode("utf-8", "replace") if sign > "\x7f"]
    if foreign.count("\ufffd") <= len(foreign) // 2:
        return "what else it has around there is UTF-8: mend that line"
    # In Western languages letters beyond ASCII are few and stand alone; elsewhere they come in runs.
    runs = _RUNS.findall(raw)
    if sum(map(len, runs)) <= 1.25 * len(runs) and len(runs) < 0.2 * len(raw):
        return (
            "save it as UTF-8; if it is in a Western European language and from Windows: "
            "iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"
        )
    return (
        "save it as UTF-8 in the program that wrote it; or, with the name of its encoding (`iconv -l` lists "
        "them): iconv -f NAME -t UTF-8 OLD > NEW"
    )
