"""Everyday sentences and their translations from tatoeba.org (CC BY 2.0 FR).

Taken from `$ATONCE_DATA/tatoeba-en-de` and so on, already split, or joined from the weekly exports of the
project: sentences of each language, and links between their numbers.
"""

import bz2
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pooch

from atonce.config import nearest
from atonce.data.config import TatoebaConfig
from atonce.data.files import read_tsv
from atonce.data.pairs import Corpus, Pair
from atonce.disk import replacing, sweep_beside
from atonce.errors import DataError, DiskError, download_failed
from atonce.progress import progress

EXPORTS = "https://downloads.tatoeba.org/exports/per_language"
# Tatoeba names languages by ISO 639-3, recipes by the short codes of ISO 639-1. These are those that have
# tens of thousands of sentences there, or nearly; any three-letter code is taken as it is.
LANGUAGES = {
    **{"ar": "ara", "az": "aze", "be": "bel", "ber": "ber", "bg": "bul", "bn": "ben", "br": "bre"},
    **{"ca": "cat", "cs": "ces", "cy": "cym", "da": "dan", "de": "deu", "el": "ell", "en": "eng"},
    **{"eo": "epo", "es": "spa", "et": "est", "eu": "eus", "fa": "pes", "fi": "fin", "fr": "fra"},
    **{"ga": "gle", "gl": "glg", "he": "heb", "hi": "hin", "hr": "hrv", "hu": "hun", "hy": "hye"},
    **{"ia": "ina", "id": "ind", "is": "isl", "it": "ita", "ja": "jpn", "ka": "kat", "kab": "kab"},
    **{"kk": "kaz", "ko": "kor", "la": "lat", "lt": "lit", "lv": "lvs", "mk": "mkd", "mr": "mar"},
    **{"nb": "nob", "nl": "nld", "oc": "oci", "pl": "pol", "pt": "por", "ro": "ron", "ru": "rus"},
    **{"sk": "slk", "sl": "slv", "sr": "srp", "sv": "swe", "sw": "swh", "ta": "tam", "th": "tha"},
    **{"tl": "tgl", "tr": "tur", "tt": "tat", "ug": "uig", "uk": "ukr", "ur": "urd", "uz": "uzb"},
    **{"vi": "vie", "yi": "yid", "zh": "cmn"},
}


def open_tatoeba(config: TatoebaConfig, *, quiet: bool = False) -> Corpus:
    """Pairs of two languages, in either direction. Joined from the exports if $ATONCE_DATA has none.

    Raises DataError if a language is unknown or a download fails.
    """
    about = f"sentences of tatoeba.org, {config.source} to {config.target} (CC BY 2.0)"
    for names in ((config.source, config.target), (config.target, config.source)):
        name = "-".join(names)
        folder = Path(os.environ.get("ATONCE_DATA", "")) / f"tatoeba-{name}"
        if "ATONCE_DATA" in os.environ and folder.is_dir():
            train, valid, test = (
                partial(read_tsv, _part(folder, f"{split}.{name}.tsv.gz"), config.source, config.target)
                for split in ("train", "valid", "test")
            )
            return Corpus(train=train, valid=valid, test=test, about=about)
    codes = _code(config.source), _code(config.target)
    joined = _joined(*codes, quiet=quiet)
    return Corpus(train=partial(read_tsv, joined, *codes), valid=None, test=None, about=about)


def _part(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise DataError(
            f"there is no file {folder / name}",
            why="a Tatoeba folder in $ATONCE_DATA holds train, valid and test, each as gzipped TSV",
            fix="restore the file, or move the folder away: then the corpus is built from the public exports",
        )
    return folder / name


def _code(language: str) -> str:
    """The ISO 639-3 code that Tatoeba uses."""
    if language in LANGUAGES:
        return LANGUAGES[language]
    if len(language) == 3 and language.isascii() and language.isalpha() and language.islower():
        return language
    raise DataError(
        f"no language {language!r} is known for the corpus tatoeba",
        why="its sentences are filed by three-letter codes, and this one has none here",
        fix=f"{nearest(language, list(LANGUAGES))} Or give the three-letter code of ISO 639-3",
    )


def _joined(source: str, target: str, *, quiet: bool) -> Path:
    """A table of both languages in the cache, built on the first call. Delete it to get newer sentences."""
    table = Path(pooch.os_cache("atonce")) / f"tatoeba-{source}-{target}.tsv"
    sweep_beside(table)
    if not table.is_file():
        try:
            with (
                progress(f"Building the corpus tatoeba {source}-{target} (once)", quiet=quiet),
                replacing(table) as unfinished,
            ):
                _build(unfinished, source, target)
        except DiskError as error:
            raise DiskError(error.what, why=error.why, fix="free some space for the cache") from None
    return table


def _build(table: Path, source: str, target: str) -> None:
    """Download three exports beside the table, and join them into it."""
    links = _fetch(f"{source}/{source}-{target}_links.tsv.bz2", table.parent)
    sentences = [_fetch(f"{code}/{code}_sentences.tsv.bz2", table.parent) for code in (source, target)]
    with table.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"{source}\t{target}\n")
        pairs = sum(1 for pair in join(links, *sentences) if file.write(f"{pair.source}\t{pair.target}\n"))
    if pairs == 0:
        raise DataError(
            f"Tatoeba has no pairs of {source} and {target}",
            why="no sentence of the one is linked to a sentence of the other",
            fix="choose other languages: those with English have the most pairs",
        )


def _fetch(name: str, folder: Path) -> Path:
    """Download one of the exports."""
    pooch.get_logger().setLevel("WARNING")  # or it tells of every download, and of hashes, on stderr
    try:
        # The exports change every week, so there is no hash to know.
        fetched = pooch.retrieve(f"{EXPORTS}/{name}", known_hash=None, path=folder, fname=Path(name).name)
    except Exception as error:  # pooch passes on whatever its downloader raises
        otherwise = " and that Tatoeba has both languages, or work offline: --recipe dates"
        raise download_failed(f"{EXPORTS}/{name}", error, otherwise=otherwise) from None
    return Path(fetched)


def join(links: Path, sources: Path, targets: Path) -> Iterator[Pair]:
    """The sentences that `links` connects, each pair once. All three files are TSV, packed with bzip2.

    Links are lines of two sentence numbers; sentences are lines of number, language and text. Only
    sentences with a link are held in memory. Raises DataError if a file is broken.
    """
    numbers = [(int(row[0]), int(row[1])) for row in _rows(links, columns=2)]
    sides = [
        {
            int(number): " ".join(text.split())
            for number, _, text in _rows(path, columns=3)
            if int(number) in wanted
        }
        # Without any link there are no columns to zip, and no sides: nothing is joined then.
        for path, wanted in zip((sources, targets), map(set, zip(*numbers, strict=True)), strict=False)
    ]
    seen: set[Pair] = set()
    for source, target in numbers:
        if source in sides[0] and target in sides[1]:  # a sentence may be deleted between two exports
            pair = Pair(sides[0][source], sides[1][target])
            if pair not in seen:
                seen.add(pair)
                yield pair


def _rows(path: Path, *, columns: int) -> Iterator[list[str]]:
    """The lines of an export that have this many columns."""
    try:
        with bz2.open(path, "rt", encoding="utf-8", newline="\n") as file:
            rows = (line.removesuffix("\n").split("\t") for line in file)
            yield from (row for row in rows if len(row) == columns and row[0].isdecimal())
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(
            f"the Tatoeba export {path.name} is broken",
            why=str(error),
            fix="try again later: it is made anew each week",
        ) from None
