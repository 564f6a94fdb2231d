"""What can be trained on, and how text becomes tokens. No torch here: recipes are checked without it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from atonce.config import Config
from atonce.seeds import Seed

Task = Literal["translation", "summarization", "classification", "reading"]
"""What a model is to make of a source: the same in another language, something shorter, one of a few labels,
or the text in an image. It decides how outputs are scored and what happens to very long texts."""

Normalization = Literal["none", "spaces", "nfc", "nfkc"]
"""How texts that are the same are spelt the same: see `data.normalization`."""

Repeats = Literal["auto", "sources", "both"]
"""What a training pair must not share with one that it is validated or tested on."""

COMMANDS: dict[Task, str] = {
    "translation": "translate",
    "summarization": "summarize",
    "classification": "classify",
    "reading": "read",
}
"""The command that uses a run of each task."""


_TAG = re.compile(r"[a-z]{2,3}([-_][a-z0-9]{1,8})*", re.IGNORECASE)


def _language_tag(tag: str) -> str:
    """A tag as BCP 47, POSIX (`zh_CN`) or FLORES (`zho_Hans`) have it."""
    # Two letters are looked up, as codes of countries are given in their place (jp for ja, cn for zh).
    # Of three letters there are thousands, and any are taken.
    two_letters = re.split("[-_]", tag)[0].lower()
    if _TAG.fullmatch(tag) and (len(two_letters) == 3 or two_letters in _two_letter_codes()):
        return tag
    raise ValueError(f"that is no tag of a language -> {_meant(tag)}")


def _two_letter_codes() -> Mapping[str, str]:
    """Those of ISO 639-1, with the names of the languages."""
    from babel import Locale  # slow to import

    return {code: name for code, name in Locale("en").languages.items() if len(code) == 2}


def _meant(tag: str) -> str:
    for code, name in _two_letter_codes().items():
        if name.lower() == tag.lower() or _COUNTRIES.get(tag.lower()) == code:
            return f"did you mean {code!r}, {name}?"
    return "give one such as 'en', 'de', 'zh-Hant' or 'ja'"


_COUNTRIES = {"cn": "zh", "jp": "ja", "ua": "uk", "cz": "cs", "dk": "da", "gr": "el"}
"""Codes of countries that are taken for those of languages."""

LanguageTag = Annotated[str, AfterValidator(_language_tag)]


class _Splits(Config):
    """What every corpus has: how much of it is kept apart, and which pairs are too long to train on."""

    reads_images: ClassVar[bool] = False

    task: Task
    """Most corpora are for one task only."""

    valid_size: int = Field(default=1000, ge=1, le=10**7)
    """Validation pairs to cut off where the corpus brings none (at most a tenth of it)."""
    test_size: int = Field(default=1000, ge=1, le=10**7)
    """Test pairs to cut off where the corpus brings none (at most a tenth of it)."""
    max_length: int = Field(default=256, ge=1, le=10**6)
    """Training pairs with more tokens than this on either side are left out, and counted. Where a text is
    summarized or classified, it is cut there instead."""
    repeats: Repeats = "both"
    """What training must not share with validation and test text: a source, case and punctuation aside
    ("sources"), or a source or a target ("both"). "auto": "sources" where targets repeat by their nature,
    such as commands, labels, sums and codes, else "both"; which one is said, and in data.json.
    Classification: always "sources"."""

    @property
    def languages(self) -> tuple[str | None, str | None]:
        """Tags of the source and target languages, where the recipe says which they are."""
        return None, None

    @field_validator("task", mode="before")
    @classmethod
    def _as_spelt_now(cls, task: object) -> object:
        # Recipes and runs from before there was one spelling must keep opening.
        return "summarization" if task == "summarisation" else task


class _OwnFiles(_Splits):
    """A corpus in the user's own files."""

    task: Literal["translation", "summarization", "classification"] = "translation"
    """What is to become of a source: a translation, a summary, or one of the labels that the targets are."""
    repeats: Repeats = "auto"
    """See above. Nobody but the data says here whether targets repeat."""

    source: str
    """Source text: a path for `files`, a column for `tsv` (a name from the first line; or a number, from 1,
    and then the first line is a pair like any other), a key for `jsonl`."""
    target: str
    """Target text, likewise."""
    source_language: LanguageTag | None = None
    """Tag of the language that is read: "en", "zh-Hant". For reports and the page."""
    target_language: LanguageTag | None = None
    """Tag of the language that is written. It decides what a word is where outputs are scored; without it,
    the script of the references does."""

    @property
    def languages(self) -> tuple[str | None, str | None]:
        """Tags of the source and target languages, where they are given."""
        return self.source_language, self.target_language


class FilesConfig(_OwnFiles):
    """Two line-aligned texts: UTF-8 (or UTF-16 with its mark), plain or packed; see docs/data.md."""

    kind: Literal["files"] = "files"
    valid_source: Path | None = None
    """Validation text; without it, pairs are cut off the training text by hash."""
    valid_target: Path | None = None
    test_source: Path | None = None
    """Test text; without it, pairs are cut off the training text by hash."""
    test_target: Path | None = None

    @model_validator(mode="after")
    def _both_sides(self) -> "FilesConfig":
        for split in ("valid", "test"):
            sides = [getattr(self, f"{split}_{side}") for side in ("source", "target")]
            if (sides[0] is None) != (sides[1] is None):
                raise ValueError(
                    f"only one side of the {split} text is given -> "
                    f"give both data.{split}_source and data.{split}_target, or neither"
                )
        return self


class TableConfig(_OwnFiles):
    """Pairs as rows of a table: columns with tabs (tsv) or commas (csv), or a JSON object a line (jsonl)."""

    kind: Literal["tsv", "csv", "jsonl"]
    path: Path
    """The table with the training pairs."""
    valid_path: Path | None = None
    """Validation pairs; without it, pairs are cut off the training pairs by hash."""
    test_path: Path | None = None
    """Test pairs; without it, pairs are cut off the training pairs by hash."""
    source: str = ""
    """The column, or the key, of the source. See `columns`."""
    target: str = ""
    """That of the target."""
    columns: tuple[str, str] | None = None
    """Source and target in one key: names from the first line, or numbers, from 1, and then the first line is
    a pair like any other. Instead of `source` and `target`."""
    quoting: Literal["none", "csv"] | None = None
    """none: quotation marks are part of a text; csv: as spreadsheets write texts with tabs, commas, marks or
    line ends in them. Without it: none for tsv, csv for csv."""
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    """What stands between columns, a single sign; without it, a tab for tsv and a comma for csv."""

    @model_validator(mode="before")
    @classmethod
    def _columns_are_sides(cls, values: Any) -> Any:
        """Columns are written into `source` and `target`, which everything else reads."""
        if not isinstance(values, dict):
            return values
        columns = values.get("columns")
        if isinstance(columns, list | tuple) and len(columns) == 2:
            # What the recipe says besides wins here, so that `_fits_the_kind` sees where the two differ.
            sides = dict(zip(("source", "target"), map(str, columns), strict=True))
            return {**sides, **values}
        return values

    @model_validator(mode="after")
    def _fits_the_kind(self) -> "TableConfig":
        if self.columns not in (None, (self.source, self.target)):
            raise ValueError(
                "data.columns names others than data.source and data.target -> "
                "leave data.columns out, or both of them"
            )
        if not self.source or not self.target:
            raise ValueError(
                "nothing says which columns are the two sides -> "
                'for example: columns = ["en", "de"], or [1, 2]'
            )
        if self.kind == "jsonl" and (self.quoting or self.delimiter):
            raise ValueError(
                "it is JSON, which has marks of its own -> leave data.quoting and data.delimiter out"
            )
        return self

    @property
    def is_quoted(self) -> bool:
        """Whether fields are as spreadsheets write them."""
        return (self.quoting or {"csv": "csv"}.get(self.kind, "none")) == "csv"

    @property
    def separator(self) -> str:
        """What stands between columns."""
        return self.delimiter or ("," if self.kind == "csv" else "\t")


class _ByLanguage(_Splits):
    """A corpus that has a name and several languages."""

    task: Literal["translation"] = "translation"

    source: str = "en"
    """Tag of the source language."""
    target: str = "de"
    """Tag of the target language."""

    @property
    def languages(self) -> tuple[str, str]:
        """Tags of the source and target languages."""
        return self.source, self.target


class LocalisationConfig(_ByLanguage):
    """Strings of a user interface in 30+ languages (Home Assistant, Apache-2.0), downloaded once with pip."""

    kind: Literal["localisation"] = "localisation"
    min_words: int = Field(default=3, ge=1, le=1000)
    """Strings with fewer source words are left out: most are single labels."""


class TatoebaConfig(_ByLanguage):
    """Everyday sentences from tatoeba.org (CC BY 2.0): `$ATONCE_DATA/tatoeba-en-de`, or from its exports."""

    kind: Literal["tatoeba"] = "tatoeba"


class DatesConfig(_Splits):
    """Dates written out in any of 30+ locales, to ISO 8601. Generated, so it needs no network."""

    task: Literal["translation"] = "translation"
    kind: Literal["dates"] = "dates"
    pairs: int = Field(default=30_000, ge=100, le=300_000)
    """How many to generate. Years are 1900 to 2099: with more, no date would be left to test on."""
    seed: Seed = 1


class _Summaries(_Splits):
    """English texts and their summaries."""

    task: Literal["summarization"] = "summarization"

    @property
    def languages(self) -> tuple[str, str]:
        """English on both sides."""
        return "en", "en"


class DebianSynopsisConfig(_Summaries):
    """Descriptions of Debian's packages, to their one-line synopses: `$ATONCE_DATA/debian-synopsis`, or from
    the lists that the apt client of a Debian machine keeps."""

    kind: Literal["debian-synopsis"] = "debian-synopsis"


class DocstringsConfig(_Summaries):
    """Bodies of docstrings, to their summary lines: from the Python packages that are installed."""

    kind: Literal["docstrings"] = "docstrings"


class _Images(_Splits):
    """Grey images."""

    reads_images: ClassVar[bool] = True


class DigitsConfig(_Images):
    """1,797 handwritten digits of 8 × 8 pixels, to 0 … 9 (UCI, CC BY 4.0, through scikit-learn)."""

    task: Literal["classification"] = "classification"
    kind: Literal["digits"] = "digits"


class FashionMnistConfig(_Images):
    """70,000 articles of clothing of 28 × 28 pixels, of ten kinds (Zalando, MIT).

    From `$ATONCE_DATA/fashion-mnist`, or downloaded once."""

    task: Literal["classification"] = "classification"
    kind: Literal["fashion-mnist"] = "fashion-mnist"


class DigitStringsConfig(_Images):
    """Rows of handwritten digits on one image, to the digits as text. Composed of those of `digits`."""

    task: Literal["reading"] = "reading"
    kind: Literal["digit-strings"] = "digit-strings"
    images: int = Field(default=20_000, ge=100, le=300_000)
    """How many to compose."""
    shortest: int = Field(default=3, ge=1, le=1000)
    """Digits in the shortest string."""
    longest: int = Field(default=8, ge=1, le=1000)
    """Digits in the longest string."""
    seed: Seed = 1

    @model_validator(mode="after")
    def _ordered(self) -> "DigitStringsConfig":
        if self.shortest > self.longest:
            raise ValueError(
                f"the shortest string has {self.shortest} digits and the longest {self.longest} -> "
                "give shortest at most the value of longest"
            )
        return self


DataConfig = Annotated[
    FilesConfig
    | TableConfig
    | LocalisationConfig
    | TatoebaConfig
    | DatesConfig
    | DebianSynopsisConfig
    | DocstringsConfig
    | DigitsConfig
    | FashionMnistConfig
    | DigitStringsConfig,
    Field(discriminator="kind"),
]


class VocabularyConfig(Config):
    """The tokens that text is cut into: one vocabulary for both sides, learned from the training text."""

    kind: Literal["bpe", "unigram", "words", "characters"] = "bpe"
    """bpe and unigram: parts of words; words: what stands between spaces, punctuation included."""
    size: int = Field(default=8000, ge=300, le=10**7)
    """Tokens, the 256 bytes included that spell whatever no token covers. Small corpora may fill fewer."""
    split_digits: bool = True
    """Every digit a token of its own, so that numbers are copied, not memorised."""
    normalization: Normalization = "nfc"
    """One spelling of what is the same text. spaces: white space of any kind and length is one space, none at
    the ends, and what has no width is left out; nfc: that, and composed letters; nfkc: that, and compatible
    ones (full-width forms, ligatures, superscripts); none: texts as they are."""
