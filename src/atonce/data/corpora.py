"""What can be read as pairs of texts: every corpus of them there is, behind one interface."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from atonce.data.config import (
    DataConfig,
    DatesConfig,
    DebianSynopsisConfig,
    DocstringsConfig,
    FilesConfig,
    LocalisationConfig,
    TableConfig,
    TatoebaConfig,
)


class Pair(NamedTuple):
    """A text and what a model is to make of it. Neither side holds a line end."""

    source: str
    target: str


@dataclass(frozen=True)
class Corpus:
    """Pairs to stream, as often as wanted: each call reads from the start and gives the same pairs.

    Reading raises DataError where the corpus is broken. Pairs with an empty side are still there:
    whoever reads leaves them out and counts them.
    """

    train: Callable[[], Iterator[Pair]]
    valid: Callable[[], Iterator[Pair]] | None
    """None: the corpus brings no validation pairs, so they are cut off the training pairs."""
    test: Callable[[], Iterator[Pair]] | None
    about: str
    """One line: where the pairs come from, and under which licence."""


def open_corpus(config: DataConfig, *, quiet: bool = False) -> Corpus:
    """The corpus that `config` describes. Reads no pairs yet, but fetches what is not there.

    A download shows itself on stderr, unless `quiet`. Raises DataError if a file is missing, if a
    download fails, or if the corpus does not have the languages or columns asked for.
    """
    # Each kind is imported when it is asked for: babel and pooch take longer to import than all the rest.
    match config:
        case FilesConfig():
            from atonce.data.files import open_files

            return open_files(config)
        case TableConfig():
            from atonce.data.files import open_table

            return open_table(config)
        case LocalisationConfig():
            from atonce.data.localisation import open_localisation

            return open_localisation(config, quiet=quiet)
        case TatoebaConfig():
            from atonce.data.tatoeba import open_tatoeba

            return open_tatoeba(config, quiet=quiet)
        case DatesConfig():
            from atonce.data.dates import open_dates

            return open_dates(config)
        case DebianSynopsisConfig():
            from atonce.data.debian_synopsis import open_debian_synopsis

            return open_debian_synopsis(config, quiet=quiet)
        case DocstringsConfig():
            from atonce.data.docstrings import open_docstrings

            return open_docstrings(config, quiet=quiet)
    raise TypeError(f"{config.kind} is no corpus of texts")
