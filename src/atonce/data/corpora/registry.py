"""Every corpus there is, by its config: those of texts and those of images."""

from atonce.data.config import (
    DataConfig,
    DatesConfig,
    DebianSynopsisConfig,
    DigitsConfig,
    DigitStringsConfig,
    DocstringsConfig,
    FashionMnistConfig,
    FilesConfig,
    LocalisationConfig,
    TableConfig,
    TatoebaConfig,
)
from atonce.data.images import ImageCorpus
from atonce.data.pairs import Corpus


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
            from atonce.data.corpora.localisation import open_localisation

            return open_localisation(config, quiet=quiet)
        case TatoebaConfig():
            from atonce.data.corpora.tatoeba import open_tatoeba

            return open_tatoeba(config, quiet=quiet)
        case DatesConfig():
            from atonce.data.corpora.dates import open_dates

            return open_dates(config)
        case DebianSynopsisConfig():
            from atonce.data.corpora.debian_synopsis import open_debian_synopsis

            return open_debian_synopsis(config, quiet=quiet)
        case DocstringsConfig():
            from atonce.data.corpora.docstrings import open_docstrings

            return open_docstrings(config, quiet=quiet)
    raise TypeError(f"{config.kind} is no corpus of texts")


def open_images(config: DataConfig, *, quiet: bool = False) -> ImageCorpus:
    """The images that `config` describes.

    A download shows itself on stderr, unless `quiet`. Raises DataError if one fails or a file is broken.
    """
    # Each kind is imported when it is asked for.
    match config:
        case DigitsConfig():
            from atonce.data.corpora.digits import open_digits

            return open_digits(config, quiet=quiet)
        case FashionMnistConfig():
            from atonce.data.corpora.fashion_mnist import open_fashion_mnist

            return open_fashion_mnist(config, quiet=quiet)
        case DigitStringsConfig():
            from atonce.data.corpora.digits import open_digit_strings

            return open_digit_strings(config, quiet=quiet)
    raise TypeError(f"{config.kind} is no corpus of images")
