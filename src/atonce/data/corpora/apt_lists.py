"""What the apt client of a Debian machine knows of packages: the lists that `apt-get update` fetched.

Of each repository there is an index of packages and, where apt was asked for English, one of their
descriptions (wiki.debian.org/DebianRepository/Format). Both hold paragraphs of fields (Debian Policy, section
5.1). Apt keeps them plain or compressed, as it is configured.
"""

import bz2
import gzip
import io
import lzma
import re
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from atonce.errors import DataError, unreadable

LISTS = Path("/var/lib/apt/lists")
APT_HELPER = Path("/usr/lib/apt/apt-helper")
UPDATE = "sudo apt-get -o Acquire::Languages=en update"
"""The command that fetches the lists with their English descriptions."""

_PACKAGES = re.compile(r".*_main_binary-\w+_Packages(\.\w+)?")
_DESCRIPTIONS = re.compile(r".*_main_i18n_Translation-en(\.\w+)?")


class Package(NamedTuple):
    """A binary package, as its maintainers describe it."""

    name: str
    source: str
    """The source package that it is built from."""
    synopsis: str
    """One line."""
    description: str
    """Many lines, each indented by a space; one that holds only a dot is blank."""


def find_lists() -> tuple[list[Path], list[Path]]:
    """The indices of packages, and those of English descriptions, of the component main.

    Raises DataError if there are none of the one or the other.
    """
    files = sorted(LISTS.iterdir()) if LISTS.is_dir() else []
    packages = [file for file in files if _PACKAGES.fullmatch(file.name)]
    descriptions = [file for file in files if _DESCRIPTIONS.fullmatch(file.name)]
    if not packages or not descriptions:
        raise DataError(
            "there are no descriptions of Debian's packages on this machine",
            why=f"{LISTS} holds no {'English descriptions' if packages else 'list of packages'}",
            fix=f"on a Debian machine: {UPDATE}; elsewhere: fill $ATONCE_DATA/debian-synopsis, "
            "or take the recipe docstrings",
        )
    return packages, descriptions


def read_packages(packages: list[Path], descriptions: list[Path]) -> list[Package]:
    """Every package that has a description, by name, each once: indices are joined on its MD5.

    Raises DataError if an index is broken, or compressed in a way that cannot be read here.
    """
    described = {
        fields.get("Description-md5"): fields.get("Description-en", "").partition("\n")[2]
        for fields in _paragraphs_of(descriptions)
    }
    found = {}
    for fields in _paragraphs_of(packages):
        name, description = fields.get("Package"), described.get(fields.get("Description-md5"))
        if name and description:
            source = fields.get("Source", name).partition(" ")[0]  # a version may follow in brackets
            found[name] = Package(name, source, fields.get("Description", ""), description)
    return [found[name] for name in sorted(found)]


def _paragraphs_of(paths: list[Path]) -> Iterator[dict[str, str]]:
    return (fields for path in paths for fields in _paragraphs(path))


def _paragraphs(path: Path) -> Iterator[dict[str, str]]:
    """The fields of each paragraph. What is continued on the next lines keeps its line ends and indents."""
    fields: dict[str, str] = {}
    field = ""
    for line in _lines(path):
        if not line:
            if fields:
                yield fields
            fields, field = {}, ""
        elif line[0] in " \t":
            fields[field] = f"{fields.get(field, '')}\n{line}"
        else:
            field, _, value = line.partition(":")
            fields[field] = value.strip()
    if fields:
        yield fields


def _lines(path: Path) -> Iterator[str]:
    """The lines of an index, without their line ends."""
    try:
        with _opened(path) as stream:
            for raw in stream:
                yield raw.decode("utf-8").rstrip("\r\n")
    except (OSError, EOFError, lzma.LZMAError, zlib.error, UnicodeDecodeError) as error:
        raise unreadable(path, str(error), fix=f"fetch it anew: {UPDATE}", kind=DataError) from None


def _opened(path: Path) -> io.BufferedIOBase:
    compression = path.name.rpartition("_")[2].partition(".")[2]
    match compression:
        case "":
            return path.open("rb")
        case "gz":
            return gzip.open(path)
        case "bz2":
            return bz2.open(path)
        case "xz" | "lzma":
            return lzma.open(path)
        case _:
            return io.BytesIO(_unpacked_by_apt(path, compression))


def _unpacked_by_apt(path: Path, compression: str) -> bytes:
    """LZ4, apt's own choice, and Zstandard are not in Python's library; apt reads whatever it wrote."""
    if not APT_HELPER.is_file():
        raise unreadable(
            path,
            f"Python cannot unpack .{compression}, and {APT_HELPER}, which could, is not there",
            fix=f"unpack it: sudo {'zstd' if compression == 'zst' else compression} -d --rm {path}",
            kind=DataError,
        )
    finished = subprocess.run([APT_HELPER, "cat-file", path], capture_output=True, check=False)
    if finished.returncode != 0:
        raise OSError(" ".join(finished.stderr.decode(errors="replace").split()))
    return finished.stdout
