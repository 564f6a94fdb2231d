"""Descriptions of Debian's packages and their one-line synopses: people's texts, and their summaries.

Taken from `$ATONCE_DATA/debian-synopsis`, already split, or made of the lists that the apt client of a Debian
machine keeps. Each description is under the licence of its package; those in Debian's component main are all
free. What is made of the lists stays on the machine.

The lists are those that `apt-get update` fetched: of each repository an index of packages and, where apt was
asked for English, one of their descriptions (wiki.debian.org/DebianRepository/Format). Both hold paragraphs
of fields (Debian Policy, section 5.1), plain or compressed, as apt is configured.
"""

import bz2
import gzip
import io
import lzma
import os
import re
import subprocess
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np

from atonce.data.config import DebianSynopsisConfig
from atonce.data.files import read_tsv
from atonce.data.pairs import Corpus, Pair
from atonce.errors import DataError, unreadable
from atonce.progress import progress
from atonce.shapes import Float, Int

LISTS = Path("/var/lib/apt/lists")
APT_HELPER = Path("/usr/lib/apt/apt-helper")
UPDATE = "sudo apt-get -o Acquire::Languages=en update"
"""The command that fetches the lists with their English descriptions."""

_PACKAGES = re.compile(r".*_main_binary-\w+_Packages(\.\w+)?")
_DESCRIPTIONS = re.compile(r".*_main_i18n_Translation-en(\.\w+)?")
WORDS = range(15, 401)
"""Words that a description may have."""
SYNOPSIS_WORDS = range(3, 21)
"""Words that a synopsis may have."""
MOST_SHARED = 0.3
"""A description with a larger share of its sequences of eight words in others too is only for training."""

_HOLLOW = re.compile(r"transitional|dummy package|meta-?\s?package", re.IGNORECASE)
_SECONDARY = re.compile(r"lib.*|.*-(common|data|dbg|dev|docs?|examples|tests?)")
_BULLET = re.compile(r"^\s*([-*+•·–o]|\(?\d{1,2}[.)])\s+")
_RULER = re.compile(r"[-=_*~#]{4,}")


class Package(NamedTuple):
    """A binary package, as its maintainers describe it."""

    name: str
    source: str
    """The source package that it is built from."""
    synopsis: str
    """One line."""
    description: str
    """Many lines, each indented by a space; one that holds only a dot is blank."""


class Described(NamedTuple):
    """One package for each source."""

    source: str
    pair: Pair


def open_debian_synopsis(config: DebianSynopsisConfig, *, quiet: bool = False) -> Corpus:
    """Descriptions with their synopses. Made of apt's lists if $ATONCE_DATA has none, which takes seconds.

    Raises DataError if the machine has neither, or if either is broken.
    """
    folder = Path(os.environ.get("ATONCE_DATA", "")) / "debian-synopsis"
    about = "descriptions of Debian's packages and their synopses (free software, each under its own licence)"
    if "ATONCE_DATA" in os.environ and folder.is_dir():
        train, valid, test = (
            partial(read_tsv, _part(folder, f"{split}.tsv.gz"), "text", "summary")
            for split in ("train", "valid", "test")
        )
        return Corpus(train=train, valid=valid, test=test, about=about)
    lists = find_lists()
    with progress("Reading apt's lists of packages", quiet=quiet):
        splits = split(describe(read_packages(*lists)), config.valid_size, config.test_size)
    train, valid, test = (partial(iter, pairs) for pairs in splits)
    return Corpus(train=train, valid=valid, test=test, about=about)


def _part(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise DataError(
            f"there is no file {folder / name}",
            why="the folder debian-synopsis in $ATONCE_DATA holds train, valid and test, each as gzipped TSV",
            fix=f"restore the file, or move the folder away: then apt's lists are read, from {UPDATE}",
        )
    return folder / name


def describe(packages: Iterable[Package]) -> list[Described]:
    """The descriptions that can be learned from: one of each source, none twice, no synopsis twice.

    Left out are packages that only draw in others, texts too short, too long or hardly in ASCII, and repeats:
    a description whose first 200 letters, or a synopsis, were there before.
    """
    of_source: dict[str, list[tuple[str, Pair]]] = defaultdict(list)
    for name, source, synopsis, description in packages:
        pair = Pair(one_line(description), " ".join(synopsis.split()))
        if _teaches(pair):
            of_source[source].append((name, pair))
    found = []
    seen: set[tuple[str, str]] = set()
    for source in sorted(of_source):
        # One of each source: its other packages (libraries, headers, documents) say nearly the same.
        _, pair = min(of_source[source], key=lambda one: _rank(source, one[0]))
        keys = {("description", pair.source[:200].lower()), ("synopsis", pair.target.lower())}
        if not keys & seen:
            found.append(Described(source, pair))
        seen |= keys
    return found


def one_line(description: str) -> str:
    """A description without the marks of its lists, its rulers and its blank lines, which hold a dot."""
    lines = (line for line in description.split("\n") if line.strip() != ".")
    return " ".join(" ".join(_RULER.sub(" ", _BULLET.sub("", line)) for line in lines).split())


def _teaches(pair: Pair) -> bool:
    both = pair.source + pair.target
    return (
        len(pair.source.split()) in WORDS
        and len(pair.target.split()) in SYNOPSIS_WORDS
        and sum(map(str.isascii, both)) >= 0.9 * len(both)
        and not _HOLLOW.search(pair.target)
        and not _HOLLOW.search(pair.source[:200])
    )


def _rank(source: str, name: str) -> tuple[bool, bool, str]:
    """Of a source's packages the one with its name describes it best, and libraries, data and such worst."""
    return name != source, _SECONDARY.fullmatch(name) is not None, name


def split(
    described: Sequence[Described], valid_size: int, test_size: int
) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Pairs for training, validation and test: whole families, drawn by hash. A split gets at most a tenth.

    A family is the sources whose names differ in digits only, as gcc-11 and gcc-12. One with a text that
    shares more than `MOST_SHARED` with others is for training: to repeat what all of Haskell's libraries say
    is not to summarize.
    """
    shared = shared_sequences([one.pair.source for one in described])
    families: dict[str, list[int]] = defaultdict(list)
    for index, one in enumerate(described):
        families[re.sub(r"\d", "", one.source)].append(index)
    most = len(described) // 10
    valid: list[Pair] = []
    test: list[Pair] = []
    train: list[Pair] = []
    # By hash, so that the order of the packages does not matter.
    for family in sorted(families, key=lambda name: blake2b(name.encode(), digest_size=8).digest()):
        pairs = [described[index].pair for index in families[family]]
        # The highest share decides, as a family is not parted.
        fresh = shared[families[family]].max() <= MOST_SHARED
        if fresh and len(valid) + len(pairs) <= min(valid_size, most):
            valid += pairs
        elif fresh and len(test) + len(pairs) <= min(test_size, most):
            test += pairs
        else:
            train += pairs
    return train, valid, test


def shared_sequences(texts: Sequence[str], words: int = 8) -> Float[np.ndarray, " texts"]:
    """Of each text's sequences of so many words, the share that occurs in another text too; 0 without any."""
    hashes = [_sequences(text.lower().split(), words) for text in texts]
    # Each text has a sequence once, so one that is counted twice is in two texts.
    distinct, number = np.unique(np.concatenate(hashes), return_inverse=True)
    common = np.bincount(number, minlength=len(distinct)) > 1
    ends = np.cumsum([len(one) for one in hashes])[:-1]
    return np.array([part.mean() if len(part) else 0.0 for part in np.split(common[number], ends)])


def _sequences(words: list[str], length: int) -> Int[np.ndarray, " sequences"]:
    """A hash of each sequence, once. Python's own: it differs between processes, but equal is equal."""
    found = {hash(tuple(words[start : start + length])) for start in range(len(words) - length + 1)}
    return np.fromiter(found, dtype=np.int64, count=len(found))


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
    # Lists of packages hold the synopsis alone; the rest is found among the translations by its sum.
    described = {
        fields.get("Description-md5"): fields.get("Description-en", "").partition("\n")[2]
        for fields in _paragraphs_of(descriptions)
    }
    found = {}
    for fields in _paragraphs_of(packages):
        name, description = fields.get("Package"), described.get(fields.get("Description-md5"))
        if name and description:
            # A package that is built from a source of its own name has no such field.
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
