import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from atonce.data.corpora import apt_lists
from atonce.data.corpora.apt_lists import Package, find_lists, read_packages
from atonce.errors import DataError

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
    monkeypatch.setattr(apt_lists, "LISTS", folder)
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
    monkeypatch.setattr(apt_lists, "APT_HELPER", path)
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
