import mmap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atonce.data.pairs import Examples
from atonce.errors import RunError

sequences = st.lists(st.integers(0, 65_535), max_size=8)


@given(st.lists(st.tuples(sequences, sequences), max_size=20))
@settings(max_examples=50)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[list[int], list[int]]]
) -> None:
    folder = tmp_path_factory.mktemp("examples") / "train"
    Examples.write(folder, pairs)
    examples = Examples.open(folder)
    assert len(examples) == len(pairs)
    assert [tuple(side.tolist() for side in examples[index]) for index in range(len(pairs))] == pairs
    assert examples.source_lengths.tolist() == [len(source) for source, _ in pairs]
    assert examples.target_lengths.tolist() == [len(target) for _, target in pairs]


def test_more_pairs_than_are_written_at_once(tmp_path: Path) -> None:
    examples = Examples.write(tmp_path / "e", (([n % 7], [n % 5, 9]) for n in range(25_000)))
    assert len(examples) == 25_000
    assert [side.tolist() for side in examples[24_999]] == [[24_999 % 7], [24_999 % 5, 9]]
    assert examples.target_lengths.sum() == 50_000


def mapped(path: Path) -> int:
    """Kibibytes of the file that are in this process's memory."""
    _, _, entry = Path("/proc/self/smaps").read_text().partition(str(path))
    return int(entry.partition("Rss:")[2].split()[0])


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells")
def test_what_was_released_is_no_longer_in_memory_and_can_be_read_again(tmp_path: Path) -> None:
    examples = Examples.write(tmp_path / "e", (([7] * 50, [9] * 50) for _ in range(10_000)))
    before = examples.tokens.tolist()
    assert mapped(tmp_path / "e" / "pieces.bin") > 1_000
    examples.release()
    assert mapped(tmp_path / "e" / "pieces.bin") < 100
    assert examples.tokens.tolist() == before


@pytest.mark.parametrize(("vocabulary_size", "bytes_each"), [(65_536, 2), (65_537, 4)])
def test_an_id_takes_two_bytes_or_four(tmp_path: Path, vocabulary_size: int, bytes_each: int) -> None:
    pairs = [([vocabulary_size - 1, 3], [5])]
    examples = Examples.write(tmp_path / "e", pairs, vocabulary_size=vocabulary_size)
    assert (tmp_path / "e" / "pieces.bin").stat().st_size == 3 * bytes_each
    assert examples[0][0].tolist() == [vocabulary_size - 1, 3]
    assert examples[0][0].dtype == np.int64


def test_examples_stay_on_disk(tmp_path: Path) -> None:
    examples = Examples.write(tmp_path / "e", [([1], [2])])
    for array in (examples.tokens, examples.offsets):
        assert isinstance(array.base.obj, mmap.mmap)


def test_there_is_no_example_behind_the_last(tmp_path: Path) -> None:
    with pytest.raises(IndexError):
        Examples.write(tmp_path / "e", [([1], [2])])[1]


@pytest.mark.parametrize("part", ["pieces.bin", "offsets.bin", "examples.json"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "longer"])
def test_damage_is_found(tmp_path: Path, part: str, damage: str) -> None:
    Examples.write(tmp_path / "e", [([1, 2], [3]), ([4], [5, 6])])
    path = tmp_path / "e" / part
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-3] if damage == "truncated" else content + b"xx")
    with pytest.raises(RunError, match="is damaged") as caught:
        Examples.open(tmp_path / "e")
    assert str(tmp_path / "e") in caught.value.what
    assert "prepare the data again" in caught.value.fix


def test_offsets_of_other_examples_are_found(tmp_path: Path) -> None:
    for name, source in (("one", [1, 2]), ("other", [1, 2, 3])):
        Examples.write(tmp_path / name, [(source, [3])])
    (tmp_path / "other" / "offsets.bin").replace(tmp_path / "one" / "offsets.bin")
    with pytest.raises(RunError, match="is damaged") as caught:
        Examples.open(tmp_path / "one")
    assert "does not fit" in caught.value.why
