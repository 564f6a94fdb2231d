import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atonce.data.config import DebianSynopsisConfig
from atonce.data.corpora import debian_synopsis
from atonce.data.corpora.debian_synopsis import (
    Described,
    Package,
    describe,
    find_lists,
    one_line,
    read_packages,
    shared_sequences,
    split,
)
from atonce.data.corpora.registry import open_corpus
from atonce.data.pairs import Pair
from atonce.errors import DataError

LONG = "makes out of every long text a short one that still says what matters to whoever reads it"


def package(name: str, *, source: str = "", synopsis: str = "", text: str = "") -> Package:
    return Package(name, source or name, synopsis or f"{name} shortens all texts", text or f" {name} {LONG}.")


def described(name: str, text: str) -> Described:
    return Described(name, Pair(text, f"what {name} is"))


def own_words(name: str) -> str:
    """A text that shares no word with that of another name."""
    return " ".join(f"{name}-{number}" for number in range(20))


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "debian-synopsis"
    folder.mkdir()
    for name in ("train", "valid", "test"):
        content = f"package\ttext\tsummary\np\tthe long {name}\t{name}\n".encode()
        (folder / f"{name}.tsv.gz").write_bytes(gzip.compress(content))
    monkeypatch.setenv("ATONCE_DATA", str(tmp_path))
    return folder


def test_atonce_data_comes_first(given: Path) -> None:
    corpus = open_corpus(DebianSynopsisConfig())
    for name in ("train", "valid", "test"):
        read: Any = getattr(corpus, name)
        assert list(read()) == [Pair(f"the long {name}", name)]


def test_a_part_of_it_is_missing(given: Path) -> None:
    (given / "valid.tsv.gz").unlink()
    with pytest.raises(DataError, match=r"there is no file .*valid\.tsv\.gz") as caught:
        open_corpus(DebianSynopsisConfig())
    assert "restore" in caught.value.fix


def test_made_of_apts_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"tool-{chr(97 + number)}" for number in range(26)]
    indices = {
        "d_main_binary-amd64_Packages": "".join(
            f"Package: {name}\nDescription: shortens texts in the way of {name}\nDescription-md5: {name}\n\n"
            for name in names
        ),
        "d_main_i18n_Translation-en": "".join(
            f"Package: {name}\nDescription-md5: {name}\nDescription-en: short\n {own_words(name)}\n\n"
            for name in names
        ),
    }
    for name, content in indices.items():
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(debian_synopsis, "LISTS", tmp_path)
    monkeypatch.delenv("ATONCE_DATA", raising=False)
    corpus = open_corpus(DebianSynopsisConfig(valid_size=2, test_size=1))
    assert corpus.valid is not None
    assert corpus.test is not None
    splits = [list(read()) for read in (corpus.train, corpus.valid, corpus.test)]
    assert [len(pairs) for pairs in splits] == [23, 2, 1]
    assert sorted(pair for pairs in splits for pair in pairs) == sorted(
        Pair(own_words(name), f"shortens texts in the way of {name}") for name in names
    )
    assert list(corpus.train()) == splits[0], "it can be read again"


def test_one_line_of_lists_and_rulers() -> None:
    text = " Words:\n .\n   * one -- two\n  - three\n   1. four\n  (2) five\n =======\n a ---- b\n to it - o"
    assert one_line(text) == "Words: one -- two three four five a b to it - o"


def test_one_package_of_each_source() -> None:
    packages = [
        package("libshort1", source="short"),
        package("short-doc", source="short"),
        package("zshort", source="short"),
    ]
    assert [one.pair.target for one in describe(packages)] == ["zshort shortens all texts"]
    packages.append(package("short"))
    assert [one.pair.target for one in describe(packages)] == ["short shortens all texts"]


@pytest.mark.parametrize(
    "useless",
    [
        package("a", text=" too short"),
        package("a", text=" long" * 401),
        package("a", synopsis="two words"),
        package("a", synopsis="word " * 21),
        package("a", synopsis="shortens (transitional package)"),
        package("a", text=f" This dummy package {LONG}"),
        package("a", text=f" A metapackage that {LONG}"),
        package("a", text=" Ελληνικά" * 20),
    ],
)
def test_packages_that_teach_nothing(useless: Package) -> None:
    assert describe([useless, package("b")]) == describe([package("b")]) != []


def test_repeats() -> None:
    start = " It " + f"{LONG} " * 3
    packages = [
        package("a", synopsis="Shortens all texts", text=f"{start} in one way"),
        package("b", synopsis="the same beginning", text=f"{start} in another"),
        package("c", synopsis="shortens  all texts"),
        package("d"),
    ]
    assert [one.source for one in describe(packages)] == ["a", "d"]


def test_shared_sequences() -> None:
    texts = ["a b c d e f", "x b C d y", "d e", "b c d b c d b c d"]
    assert shared_sequences(texts, words=3).tolist() == [1 / 4, 1 / 3, 0, 1 / 3]


def test_families_stay_together_and_the_order_does_not_matter() -> None:
    names = [f"{stem}{number}" for stem in "abcdefghijklmnopqrst" for number in (8, 9, 10)]
    pairs = [described(name, own_words(name)) for name in names]
    splits = split(pairs, 6, 6)
    assert [len(one) for one in splits] == [48, 6, 6]
    stems = [{pair.target.split()[1].rstrip("0123456789") for pair in one} for one in splits]
    assert not stems[0] & stems[1]
    assert not stems[0] & stems[2]
    assert not stems[1] & stems[2]
    again = split([pairs[index] for index in np.random.default_rng(1).permutation(len(pairs))], 6, 6)
    assert [set(one) for one in again] == [set(one) for one in splits]


def test_a_split_gets_at_most_a_tenth() -> None:
    pairs = [described(f"tool-{chr(97 + n)}", own_words(f"{n}")) for n in range(20)]
    assert [len(one) for one in split(pairs, 1000, 1000)] == [16, 2, 2]


def test_boilerplate_only_trains() -> None:
    boilerplate = [described(f"haskell-{chr(97 + n)}", f"{n} {LONG}") for n in range(15)]
    fresh = [described(f"tool-{chr(97 + n)}", own_words(f"{n}")) for n in range(5)]
    train, valid, test = split(boilerplate + fresh, 2, 2)
    assert len(valid) == len(test) == 2
    assert {pair.source for pair in valid + test} <= {one.pair.source for one in fresh}
    assert {one.pair.source for one in boilerplate} <= {pair.source for pair in train}


PACKAGES = """\
Package: zsh
Description: shell with lots of features
Description-md5: 1f
Depends: libc6,
 libcap2

Package: zsh-doc
Source: zsh (5.9-4)
Description: zsh documentation
Description-md5: 2f

Package: undescribed
Description: of this there is no more
Description-md5: 3f
"""
TRANSLATION = """\
Package: zsh
Description-md5: 1f
Description-en: shell with lots of features
 Zsh is a UNIX command interpreter.
 .
   * häufig: used often

Package: zsh-doc
Description-md5: 2f
Description-en: zsh documentation
 The documentation.
"""
NAMES = (
    "a.example_debian_dists_x_main_binary-amd64_Packages",
    "a.example_debian_dists_x_main_i18n_Translation-en",
)
EXPECTED = [
    Package(
        "zsh",
        "zsh",
        "shell with lots of features",
        " Zsh is a UNIX command interpreter.\n .\n   * häufig: used often",
    ),
    Package("zsh-doc", "zsh", "zsh documentation", " The documentation."),
]


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "lists"
    folder.mkdir()
    monkeypatch.setattr(debian_synopsis, "LISTS", folder)
    return folder


def fill(lists: Path, ending: str = "", pack: Callable[[bytes], bytes] = bytes) -> None:
    for name, content in zip(NAMES, (PACKAGES, TRANSLATION), strict=True):
        (lists / (name + ending)).write_bytes(pack(content.encode()))


@pytest.mark.parametrize(
    ("ending", "pack"),
    [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)],
)
def test_packages_with_their_descriptions(lists: Path, ending: str, pack: Callable[[bytes], bytes]) -> None:
    fill(lists, ending, pack)
    assert read_packages(*find_lists()) == EXPECTED


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What unpacks everything for apt. This one takes off the first letter."""
    path = tmp_path / "apt-helper"
    path.write_text('#!/bin/sh\ntest "$1" = cat-file && tail -c +2 "$2"\n')
    path.chmod(0o700)
    monkeypatch.setattr(debian_synopsis, "APT_HELPER", path)
    return path


def test_what_python_cannot_unpack_apt_can(lists: Path, helper: Path) -> None:
    fill(lists, ".lz4", lambda content: b"4" + content)
    assert read_packages(*find_lists()) == EXPECTED


def test_apt_cannot_unpack_it_either(lists: Path, helper: Path) -> None:
    fill(lists, ".lz4")
    helper.write_text("#!/bin/sh\necho 'E: it is\nbroken' >&2; exit 100\n")
    with pytest.raises(DataError, match=r"cannot read .*Translation-en\.lz4") as caught:
        read_packages(*find_lists())
    assert caught.value.why == "E: it is broken"
    assert "apt-get" in caught.value.fix


def test_nothing_here_can_unpack_it(lists: Path, helper: Path) -> None:
    fill(lists, ".lz4")
    helper.unlink()
    with pytest.raises(DataError, match="cannot read") as caught:
        read_packages(*find_lists())
    assert "cannot unpack .lz4" in caught.value.why
    assert caught.value.fix.startswith("unpack it: sudo lz4 -d --rm ")


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        ("", b"Package: \xff\n"),
        (".gz", b"no gzip"),
        (".gz", gzip.compress(b"a" * 999, mtime=0)[:-9]),
        (".xz", b"no xz"),
    ],
)
def test_a_broken_list(lists: Path, ending: str, content: bytes) -> None:
    fill(lists, ending, lambda _: content)
    with pytest.raises(DataError, match="cannot read") as caught:
        read_packages(*find_lists())
    assert "fetch it anew" in caught.value.fix


def test_only_main_in_english(lists: Path) -> None:
    fill(lists)
    for name in NAMES:
        (lists / name.replace("main", "non-free")).touch()
        (lists / name.replace("-en", "-en_GB").replace("Packages", "Sources")).touch()
    assert find_lists() == ([lists / NAMES[0]], [lists / NAMES[1]])


def test_a_later_list_is_newer(lists: Path) -> None:
    fill(lists)
    (lists / "e_main_binary-amd64_Packages").write_text(PACKAGES.replace("lots", "plenty"))
    assert [one.synopsis for one in read_packages(*find_lists())] == [
        "shell with plenty of features",
        "zsh documentation",
    ]


@pytest.mark.parametrize(("there", "missing"), [(0, "no English descriptions"), (1, "no list of packages")])
def test_half_of_the_lists(lists: Path, there: int, missing: str) -> None:
    (lists / NAMES[there]).touch()
    with pytest.raises(DataError, match="no descriptions of Debian's packages") as caught:
        find_lists()
    assert caught.value.why == f"{lists} holds {missing}"
    assert "Acquire::Languages=en update" in caught.value.fix


def test_no_debian_at_all(lists: Path) -> None:
    lists.rmdir()
    with pytest.raises(DataError, match="no descriptions of Debian's packages") as caught:
        find_lists()
    assert "the recipe docstrings" in caught.value.fix
