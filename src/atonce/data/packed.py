"""What a file is packed in: gzip, bzip2, xz, zstd, or a zip archive of one file. Told by how it begins.

A packed file is read to its very end: one that is cut off, or that has something else behind it, is an error
and not a shorter text. (Python's own bz2 and lzma pass over what they cannot read behind the first stream.)
It is unpacked a little at a time, however much it becomes: a few bytes may stand for gigabytes.
"""

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from atonce.errors import DataError, unreadable

_BYTES_AT_ONCE = 1 << 16
_ZSTD_AT_ONCE = 512
"""Packed bytes of zstd, which has no limit for what it makes of them: four may be a block of 128 KiB."""
_XZ_MEMORY = 1 << 30
"""Bytes of the window that xz may ask for; its largest preset takes 64 MiB."""
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"(\xb5/\xfd": "zstd", b"PK\3\4": "zip"}
"""How packed files begin."""
_ENDINGS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd", ".zip": "zip"}
_TESTED_BY = {"gzip": "gzip -t", "bzip2": "bzip2 -t", "xz": "xz -t", "zstd": "zstd -t", "zip": "unzip -t"}
UNPACKED_BY = {
    "gzip": "gzip -dc",
    "bzip2": "bzip2 -dc",
    "xz": "xz -dc",
    "zstd": "zstd -dc",
    "zip": "unzip -p",
}
"""The command that writes what is in a packed file to standard output."""


def packing_of(head: bytes) -> str | None:
    """What a file that begins like this is packed in; None if it is not."""
    return next((name for sign, name in PACKED.items() if head.startswith(sign)), None)


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedIOBase]:
    """Within the block, the bytes of a file, unpacked. Raises OSError where the disk does.

    Raises DataError if what it is packed in is broken, is cut off or cannot be read here; so does the block.
    """
    with path.open("rb") as file:
        # Looked at, not read: there is no way back in a pipe.
        packing = packing_of(file.peek(8)) or _ENDINGS.get(path.suffix.lower())
        if packing is None:
            yield file
            return
        try:
            with _unpacked(file, path, packing) as stream:
                yield stream
        except (_Broken, gzip.BadGzipFile, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path} is broken {packing}",
                why=str(error).lower().rstrip("."),
                fix=f"fetch or pack it again; `{_TESTED_BY[packing]} {path}` tests it",
            ) from None


class _Broken(Exception):
    """What a decompressor says of something that it cannot read."""


@runtime_checkable
class _Decompressor(Protocol):
    """Of one stream, as bz2, lzma and zstandard have them."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Zstd:
    """zstandard's, which gives at once all that it makes of some bytes. Raises ImportError."""

    needs_input = True

    def __init__(self) -> None:
        import zstandard

        self._one = zstandard.ZstdDecompressor().decompressobj()

    @property
    def eof(self) -> bool:
        return self._one.eof

    @property
    def unused_data(self) -> bytes:
        return self._one.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._one.decompress(data)


def _unpacked(file: io.BufferedIOBase, path: Path, packing: str) -> io.BufferedIOBase:
    if packing == "gzip":
        return gzip.GzipFile(fileobj=file)
    if packing == "zip":
        return _only_member(file, path)
    at_once = _ZSTD_AT_ONCE if packing == "zstd" else _BYTES_AT_ONCE
    return io.BufferedReader(_Chunks(_streams(file, _decompressor(packing, path), at_once)), _BYTES_AT_ONCE)


def _decompressor(packing: str, path: Path) -> Callable[[], _Decompressor]:
    """What makes a decompressor of one stream. Raises DataError where there is none."""
    # Python may be built without bz2 and lzma, and zstd is no part of it before 3.14.
    try:
        if packing == "bzip2":
            import bz2

            return bz2.BZ2Decompressor
        if packing == "xz":
            import lzma

            # A head may ask for a window of gigabytes, which would be taken before the first byte is out.
            return lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        _Zstd()
        return _Zstd
    except ImportError:
        install = "pip install 'atonce[zstd]', or unpack" if packing == "zstd" else "unpack"
        raise unreadable(
            path,
            f"it is packed in {packing}, which this Python cannot unpack",
            fix=f"{install} it: {UNPACKED_BY[packing]} {path} > NEW",
            kind=DataError,
        ) from None


def _streams(file: io.BufferedIOBase, new: Callable[[], _Decompressor], at_once: int) -> Iterator[bytes]:
    """What is in all the streams of a file, one after the other, of which so many bytes are read at once.

    Raises _Broken and EOFError.
    """
    one, data = new(), file.read(at_once)
    while data:
        yield _unpacked_some(one, data)
        while not (one.eof or one.needs_input):
            yield _unpacked_some(one, b"")
        # Files put together are several streams (`cat a.bz2 b.bz2`): what is behind one begins the next.
        data = (one.unused_data if one.eof else b"") or file.read(at_once)
        if one.eof:
            while data and not data.strip(b"\0"):  # between streams of xz there may be zeros
                data = file.read(at_once)
            if data:
                data, one = data.lstrip(b"\0"), new()
    if not one.eof:
        raise EOFError("it ends before the end of its stream")


def _unpacked_some(one: _Decompressor, data: bytes) -> bytes:
    """Some of what `data`, and what it was given before, becomes. Raises _Broken."""
    try:
        return one.decompress(data, _BYTES_AT_ONCE)
    except Exception as error:  # each library has its own
        raise _Broken(str(error)) from None


def _only_member(file: io.BufferedIOBase, path: Path) -> io.BufferedIOBase:
    """The one file of a zip archive. Raises DataError if there is not one, or if it needs a password."""
    if not file.seekable():  # the list of what is in it stands at its end
        raise DataError(
            f"cannot unpack {path}",
            why="it is a zip archive, and comes from a pipe",
            fix=f"unpack it before: {UNPACKED_BY['zip']} OLD > NEW",
        )
    archive = zipfile.ZipFile(file)
    _check_whole(archive, file)
    # macOS adds a second file of attributes for each, in a folder of that name.
    names = [one for one in archive.namelist() if not one.endswith("/") and not one.startswith("__MACOSX/")]
    what = {"[Content_Types].xml": "an Office document", "META-INF/manifest.xml": "an OpenDocument file"}
    document = next((called for name, called in what.items() if name in names), None)
    if document is not None:
        raise DataError(
            f"{path} is {document}, not a text",
            why="its text lies in several files of XML, with all that belongs to its looks",
            fix='save the sheet as "CSV UTF-8" and read it with data.kind = "csv"; or save it as plain text',
        )
    if len(names) != 1:
        some = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        raise DataError(
            f"{path} is a zip archive with {len(names)} files",
            why=f"one is wanted; it has {some or 'none'}",
            fix=f"unpack it and name the file to read: unzip {path}",
        )
    if archive.getinfo(names[0]).flag_bits & 1:
        raise DataError(
            f"{path} is a zip archive with a password",
            why="its text is encrypted",
            fix=f"unpack it: unzip {path}",
        )
    try:
        return cast(io.BufferedIOBase, archive.open(names[0]))
    except NotImplementedError as error:
        raise DataError(
            f"cannot unpack {path}", why=str(error), fix=f"unpack it by another program: unzip {path}"
        ) from None


def _check_whole(archive: zipfile.ZipFile, file: io.BufferedIOBase) -> None:
    """Raises _Broken where something stands before or behind the archive, which zipfile passes over.

    Of archives put together, it would read the last one only.
    """
    end = file.seek(0, io.SEEK_END)
    file.seek(-min(end, _ZIP_END + len(archive.comment)), io.SEEK_END)
    if not file.read(4) == b"PK\5\6":
        raise _Broken("something stands behind the archive")
    if any(one.header_offset == 0 for one in archive.infolist()) or not archive.infolist():
        return
    raise _Broken("something stands before the archive; of archives put together, only the last one is read")


_ZIP_END = 22  # bytes of the record that ends an archive, and that a comment follows


class _Chunks(io.RawIOBase):
    """A file made of chunks of bytes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count
