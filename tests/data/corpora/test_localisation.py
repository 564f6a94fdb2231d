import json
import subprocess
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pooch
import pytest

from atonce.data.config import LocalisationConfig
from atonce.data.corpora import localisation
from atonce.data.corpora.localisation import SHA256, WHEEL, clean, find_wheel, flatten
from atonce.data.corpora.registry import open_corpus
from atonce.data.pairs import Pair
from atonce.errors import DataError

STRINGS = {
    "light": {
        "en": {"title": "Light", "config": {"step": {"user": "Turn the light on", "same": "WLAN"}}},
        "de": {"title": "Licht", "config": {"step": {"user": "Das Licht einschalten", "same": "WLAN"}}},
    },
    "door": {
        "en": {"title": "The front door", "only_en": "Only in English", "see": "Go to [%key:common::x%]"},
        "de": {"title": "Die Haustür", "see": "Siehe [%key:common::x%]", "number": 3},
    },
}


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel of the same make, and its hash in the place of the real one's."""
    path = tmp_path / "made" / WHEEL
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for component, languages in STRINGS.items():
            for language, strings in languages.items():
                name = f"homeassistant/components/{component}/translations/{language}.json"
                archive.writestr(name, json.dumps(strings))
        archive.writestr("homeassistant/components/door/strings.json", '{"title": "no translation"}')
    monkeypatch.setattr(localisation, "SHA256", sha256(path.read_bytes()).hexdigest())
    return path


@pytest.fixture
def pip(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A pip that fetches the small wheel, or fails as told. Counts its calls."""
    state = SimpleNamespace(commands=[], stderr="", content=wheel.read_bytes())

    def run(command: list[str], **_: object) -> SimpleNamespace:
        state.commands.append(command)
        if not state.stderr:
            (Path(command[command.index("-d") + 1]) / WHEEL).write_bytes(state.content)
        return SimpleNamespace(returncode=1 if state.stderr else 0, stderr=state.stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return state


def test_equal_keys_make_pairs(cache: Path, pip: SimpleNamespace) -> None:
    corpus = open_corpus(LocalisationConfig(min_words=1))
    assert list(corpus.train()) == [
        Pair("Light", "Licht"),
        Pair("Turn the light on", "Das Licht einschalten"),
        Pair("The front door", "Die Haustür"),
    ]
    assert "Apache-2.0" in corpus.about


def test_short_strings_can_be_left_out_and_directions_turned(cache: Path, pip: SimpleNamespace) -> None:
    corpus = open_corpus(LocalisationConfig(source="de", target="en"))
    assert list(corpus.train()) == [Pair("Das Licht einschalten", "Turn the light on")]


def test_the_wheel_is_downloaded_once(cache: Path, pip: SimpleNamespace) -> None:
    assert find_wheel() == find_wheel() == cache / WHEEL
    (command,) = pip.commands
    assert {"--no-deps", "--only-binary=:all:", "--python-version", "3.14.9"} <= set(command)
    assert command[-1] == "homeassistant==2026.11.0"
    assert [path.name for path in cache.iterdir()] == [WHEEL], "nothing unfinished stays behind"


def test_a_damaged_wheel_in_the_cache_is_downloaded_again(cache: Path, pip: SimpleNamespace) -> None:
    cache.mkdir(parents=True)
    (cache / WHEEL).write_bytes(b"half a whe")
    assert find_wheel().read_bytes() == pip.content


def test_atonce_data_comes_first(
    cache: Path, pip: SimpleNamespace, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATONCE_DATA", str(wheel.parent))
    assert find_wheel() == wheel
    wheel.write_bytes(b"another wheel")
    with pytest.raises(DataError, match="is not the file it should be") as caught:
        find_wheel()
    assert sha256(b"another wheel").hexdigest() in caught.value.why
    assert not pip.commands


def test_a_failed_download_says_so_and_what_works_offline(cache: Path, pip: SimpleNamespace) -> None:
    pip.stderr = "WARNING: retrying\nERROR: No matching distribution found for homeassistant\n\n"
    with pytest.raises(DataError, match=r"the download of the corpus localisation .* failed") as caught:
        open_corpus(LocalisationConfig())
    assert caught.value.why == "ERROR: No matching distribution found for homeassistant"
    assert "--recipe dates" in caught.value.fix
    assert list(cache.iterdir()) == []


def test_another_wheel_is_not_taken(cache: Path, pip: SimpleNamespace) -> None:
    pip.content += b"!"
    with pytest.raises(DataError, match="is not the file it should be") as caught:
        find_wheel()
    assert "--recipe dates" in caught.value.fix
    assert not (cache / WHEEL).exists()


def test_an_unknown_language_is_an_error(cache: Path, pip: SimpleNamespace) -> None:
    with pytest.raises(DataError, match="has no language 'dee'") as caught:
        open_corpus(LocalisationConfig(target="dee"))
    assert "did you mean 'de'?" in caught.value.fix
    assert "All: de, en" in caught.value.fix


def test_flatten() -> None:
    tree = {"a": {"b": "one", "c": {"d": "two"}}, "e": 3, "f": ["x"]}
    assert list(flatten(tree)) == [("/a/b", "one"), ("/a/c/d", "two")]


def test_clean() -> None:
    def pairs() -> Iterator[Pair]:
        yield Pair(" one two three ", "eins zwei drei")
        yield Pair("one two three", "eins zwei drei ")
        yield Pair("one two three", "eins, zwei, drei")
        yield Pair("the same text", "the same text")
        yield Pair("see [%key:a%] there", "siehe da")
        yield Pair("one\ntwo three", "eins")
        yield Pair("one two three", "eins\rzwei")
        yield Pair("one two", "eins zwei")
        yield Pair("  ", "nichts")

    assert list(clean(pairs(), min_words=3)) == [
        Pair("one two three", "eins zwei drei"),
        Pair("one two three", "eins, zwei, drei"),
    ]


@pytest.mark.network
def test_the_real_wheel_where_it_is_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (Path(pooch.os_cache("atonce")) / WHEEL).is_file():
        pytest.skip("the wheel is not in the cache")
    monkeypatch.delenv("ATONCE_DATA", raising=False)
    assert localisation.SHA256 == SHA256
    pairs = list(open_corpus(LocalisationConfig(min_words=1)).train())
    assert len(pairs) == len(set(pairs)) == 35_652
    assert sum(len(pair.source.split()) >= 3 for pair in pairs) == 23_838
