"""What the bytes of a file are: a text in UTF-8, UTF-16 or UTF-32, in another encoding, or no text at all."""

import codecs
import re
import unicodedata

from atonce.data.packed import UNPACKED_BY, packing_of
from atonce.errors import DataError

BYTE_ORDER_MARK = "\ufeff"
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
    foreign = [sign for sign in raw.decode("utf-8", "replace") if sign > "\x7f"]
    if foreign.count("\ufffd") <= len(foreign) // 2:
        return "what else it has around there is UTF-8: mend that line"
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
