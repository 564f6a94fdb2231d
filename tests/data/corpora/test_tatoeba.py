import bz2
import gzip
from pathlib import Path
from typing import Any

import pooch
import pytest

from atonce.data.config import TatoebaConfig
from atonce.data.corpora.registry import open_corpus
from atonce.data.pairs import Pair
from atonce.errors import DataError

EXPORTS = {
    "eng_sentences.tsv.bz2": "1\teng\tGood  day.\n2\teng\tYes.\n3\teng\tUnlinked.\n9\teng\tGood day.\n",
    "deu_sentences.tsv.bz2": "4\tdeu\tGuten Tag.\n5\tdeu\tJa.\n6\tdeu\tJawohl.\n",
    "eng-deu_links.tsv.bz2": "1\t4\n2\t5\n2\t6\n2\t77\n9\t4\n",
}
PAIRS = [Pair("Good day.", "Guten Tag."), Pair("Yes.", "Ja."), Pair("Yes.", "Jawohl.")]


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The exports that can be downloaded, by name. Records the addresses asked for under "asked"."""
    exports = {**EXPORTS, "asked": ""}

    def retrieve(url: str, known_hash: None, path: Path, fname: str) -> str:
        exports["asked"] += url + "\n"
        if fname not in exports:
            raise ValueError("404 Client Error: Not Found")
        (path / fname).write_bytes(bz2.compress(exports[fname].encode()))
        return str(path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    return exports


@pytest.fixture
def split_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tatoeba-en-de"
    folder.mkdir()
    for split in ("train", "valid", "test"):
        content = f"en\tde\none {split}\teins {split}\n".encode()
        (folder / f"{split}.en-de.tsv.gz").write_bytes(gzip.compress(content))
    monkeypatch.setenv("ATONCE_DATA", str(tmp_path))
    return folder


@pytest.mark.parametrize(("source", "target"), [("en", "de"), ("de", "en")])
def test_the_split_corpus_in_either_direction(split_corpus: Path, source: str, target: str) -> None:
    corpus = open_corpus(TatoebaConfig(source=source, target=target))
    texts = {"en": "one", "de": "eins"}
    for split in ("train", "valid", "test"):
        read: Any = getattr(corpus, split)
        assert list(read()) == [Pair(f"{texts[source]} {split}", f"{texts[target]} {split}")]
    assert "CC BY 2.0" in corpus.about


def test_a_part_of_the_split_corpus_is_missing(split_corpus: Path) -> None:
    (split_corpus / "valid.en-de.tsv.gz").unlink()
    with pytest.raises(DataError, match=r"there is no file .*valid\.en-de\.tsv\.gz") as caught:
        open_corpus(TatoebaConfig())
    assert "restore" in caught.value.fix


def test_joined_from_the_exports_and_kept(cache: Path, downloads: dict[str, str]) -> None:
    corpus = open_corpus(TatoebaConfig(source="en", target="de"))
    assert list(corpus.train()) == PAIRS
    assert corpus.valid is None
    assert downloads["asked"].splitlines() == [
        "https://downloads.tatoeba.org/exports/per_language/eng/eng-deu_links.tsv.bz2",
        "https://downloads.tatoeba.org/exports/per_language/eng/eng_sentences.tsv.bz2",
        "https://downloads.tatoeba.org/exports/per_language/deu/deu_sentences.tsv.bz2",
    ]
    downloads.clear()
    assert list(open_corpus(TatoebaConfig()).train()) == PAIRS
    assert [path.name for path in cache.iterdir()] == ["tatoeba-eng-deu.tsv"], "the exports do not stay"


def test_three_letter_codes_are_taken_as_they_are(cache: Path, downloads: dict[str, str]) -> None:
    assert list(open_corpus(TatoebaConfig(source="eng", target="deu")).train()) == PAIRS


def test_an_unknown_language(cache: Path, downloads: dict[str, str]) -> None:
    with pytest.raises(DataError, match="no language 'dee2' is known") as caught:
        open_corpus(TatoebaConfig(target="dee2"))
    assert "ISO 639-3" in caught.value.fix
    assert not downloads["asked"]


def test_a_failed_download(cache: Path, downloads: dict[str, str]) -> None:
    with pytest.raises(DataError, match=r"the download of .*fra.* failed") as caught:
        open_corpus(TatoebaConfig(target="fr"))
    assert caught.value.why == "404 Client Error: Not Found"
    assert "--recipe dates" in caught.value.fix
    assert list(cache.iterdir()) == []


def test_languages_without_a_link(cache: Path, downloads: dict[str, str]) -> None:
    downloads["eng-deu_links.tsv.bz2"] = "1\t77\n"
    with pytest.raises(DataError, match="no pairs of eng and deu"):
        open_corpus(TatoebaConfig())
    downloads["eng-deu_links.tsv.bz2"] = ""
    with pytest.raises(DataError, match="no pairs of eng and deu"):
        open_corpus(TatoebaConfig())
    assert list(cache.iterdir()) == []


def test_a_broken_export(cache: Path, downloads: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bz2, "compress", lambda content: b"BZh9 broken")
    with pytest.raises(DataError, match=r"export eng-deu_links\.tsv\.bz2 is broken"):
        open_corpus(TatoebaConfig())
