"""Strings of a user interface in many languages, read from the wheel of Home Assistant (Apache-2.0).

The wheel is data to us: it is downloaded with pip, checked by its hash, and read as the zip file it is.
Nothing in it is installed, unpacked or imported.
"""

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from hashlib import file_digest
from pathlib import Path

import pooch

from atonce.config import nearest
from atonce.data.config import LocalisationConfig
from atonce.data.corpora import Corpus, Pair
from atonce.disk import replacing, sweep_beside
from atonce.errors import DataError, DiskError
from atonce.progress import progress

PACKAGE, VERSION = "homeassistant", "2026.11.0"
WHEEL = f"{PACKAGE}-{VERSION}-py3-none-any.whl"
SHA256 = "7ca5fbde9dea879ac7723949fc84347aac5182e6309c357b2e4973fd391b00f7"
# Without a Python new enough for it, pip silently takes an older version.
_PIP_OPTIONS = ("--no-deps", "--only-binary=:all:", "--python-version", "3.14.9")
_TRANSLATION = re.compile(r"homeassistant/components/[^/]+/translations/([^/]+)\.json")


def open_localisation(config: LocalisationConfig, *, quiet: bool = False) -> Corpus:
    """Strings with the same key in two languages.

    Fetches the wheel if neither $ATONCE_DATA nor the cache has it. Raises DataError if it cannot be had, or
    does not have these languages.
    """
    wheel = find_wheel(quiet=quiet)
    files = _translation_files(wheel)
    languages = sorted({language for language, _ in files})
    for language in (config.source, config.target):
        if language not in languages:
            raise DataError(
                f"the corpus localisation has no language {language!r}",
                why=f"{WHEEL} has {len(languages)} languages, and it is none of them",
                fix=f"{nearest(language, languages)} All: {', '.join(languages)}",
            )
    cleaned: list[Pair] = []  # kept: a few megabytes, and reading them costs a second each time

    def train() -> Iterator[Pair]:
        if not cleaned:
            sides = [_strings(wheel, files, language) for language in (config.source, config.target)]
            pairs = (Pair(text, sides[1][key]) for key, text in sides[0].items() if key in sides[1])
            cleaned.extend(clean(pairs, min_words=config.min_words))
        return iter(cleaned)

    about = (
        f"user-interface strings of Home Assistant {VERSION}, {config.source} to {config.target} (Apache-2.0)"
    )
    return Corpus(train=train, valid=None, test=None, about=about)


def find_wheel(*, quiet: bool = False) -> Path:
    """The checked wheel: from $ATONCE_DATA, from the cache, or downloaded to the cache. Raises DataError."""
    if (folder := os.environ.get("ATONCE_DATA")) and (given := Path(folder) / WHEEL).is_file():
        _check(
            given, fix=f"replace it, or delete it: then it is downloaded (pip download {PACKAGE}=={VERSION})"
        )
        return given
    cached = Path(pooch.os_cache("atonce")) / WHEEL
    sweep_beside(cached)
    if not cached.is_file() or _sha256(cached) != SHA256:
        with progress(f"Downloading {WHEEL} (65 MB, once)", quiet=quiet):
            _download(cached)
    return cached


def clean(pairs: Iterator[Pair], *, min_words: int) -> Iterator[Pair]:
    """Leave out what teaches no translation, and give each pair once.

    That is: an empty side, identical sides, references to other strings ("[%key:...%]"), texts of several
    lines, and sources of fewer than `min_words` words.
    """
    seen: set[Pair] = set()
    for source, target in pairs:
        pair = Pair(source.strip(), target.strip())
        both = f"{pair.source}{pair.target}"
        if not pair.source or not pair.target or pair.source == pair.target:
            continue
        if "[%key" in both or "\n" in both or "\r" in both or len(pair.source.split()) < min_words:
            continue
        if pair not in seen:
            seen.add(pair)
            yield pair


def flatten(tree: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a tree of JSON objects, with its path of keys."""
    if isinstance(tree, str):
        yield path, tree
    elif isinstance(tree, dict):
        for key, branch in tree.items():
            yield from flatten(branch, f"{path}/{key}")


def _download(cached: Path) -> None:
    """Put the wheel into the cache: it appears there whole and checked, or not at all."""
    try:
        with replacing(cached) as partial:
            _run_pip(partial.parent)
            _check(partial, fix="try again later, or work offline: --recipe dates")
    except DiskError as error:
        raise _failed(f"{error.what}: {error.why}") from None


def _run_pip(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", *_PIP_OPTIONS, "--quiet", "-d", str(folder)]
    finished = subprocess.run(
        [*command, f"{PACKAGE}=={VERSION}"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if finished.returncode != 0 or not (folder / WHEEL).is_file():
        said = [line for line in finished.stderr.splitlines() if line.strip()]
        raise _failed(said[-1].strip() if said else f"pip ended with {finished.returncode}")


def _failed(why: str) -> DataError:
    return DataError(
        f"the download of the corpus localisation ({PACKAGE}=={VERSION}) failed",
        why=why,
        fix=f"check the network, put {WHEEL} into the folder $ATONCE_DATA, or work offline: --recipe dates",
    )


def _check(wheel: Path, *, fix: str) -> None:
    if (found := _sha256(wheel)) != SHA256:
        raise DataError(
            f"{wheel} is not the file it should be", why=f"its SHA-256 is {found}, not {SHA256}", fix=fix
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _translation_files(wheel: Path) -> list[tuple[str, str]]:
    """Language and name of each file of translations."""
    with zipfile.ZipFile(wheel) as archive:
        matches = (_TRANSLATION.fullmatch(name) for name in archive.namelist())
        return [(match[1], match[0]) for match in matches if match]


def _strings(wheel: Path, files: list[tuple[str, str]], language: str) -> dict[str, str]:
    """All strings of a language by component and path of keys."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            path: text
            for found, name in files
            if found == language
            for path, text in flatten(json.loads(archive.read(name)), name.rsplit("/", 2)[0])
        }
