"""What was stored is read as it was written, or not at all."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atonce import stored
from atonce.errors import RunError


def store(folder: Path, content: bytes, name: str = "file") -> Path:
    with stored.replacing_with_sum(folder / name) as partial:
        partial.write_bytes(content)
    return folder / name


def why_not(folder: Path, name: str = "file") -> str:
    """What is said of a file that is another than was stored."""
    with pytest.raises(RunError) as error:
        stored.check(folder, name)
    assert error.value.what == f"{folder / name} is damaged"
    assert len(str(error.value).splitlines()) == 3
    return error.value.why


def test_a_file_has_the_sum_that_was_kept(tmp_path: Path) -> None:
    store(tmp_path, b"one")
    assert stored.check(tmp_path, "file")
    store(tmp_path, b"two")
    assert stored.check(tmp_path, "file")
    assert not stored.check(tmp_path, "another"), "nothing is known of it"


@settings(max_examples=25)
@given(content=st.binary(min_size=1, max_size=40), data=st.data())
def test_a_single_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("stored")
    path = store(folder, content)
    changed = bytearray(content)
    changed[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(changed)
    assert "SHA-256" in why_not(folder)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.write_bytes(b"a\r\nb\r\n"), "CRLF"),
        (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
        (lambda path: path.write_bytes(b"a\n"), "it is 2 bytes long, and was 4"),
        (lambda path: path.unlink(), "it is missing"),
        (lambda path: (path.unlink(), path.symlink_to("nowhere")), "it is a link to nothing"),
        (lambda path: (path.unlink(), path.mkdir()), "it is a folder"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "it is not a regular file"),
        (lambda path: (path.unlink(), path.symlink_to("/dev/zero")), "it is not a regular file"),
        (lambda path: os.truncate(path, 1 << 40), "it is 1,099,511,627,776 bytes long, and was 4"),
    ],
)
def test_what_became_of_a_file_is_told(tmp_path: Path, damage: Callable[[Path], object], why: str) -> None:
    damage(store(tmp_path, b"a\nb\n"))
    assert why in why_not(tmp_path)


@pytest.mark.parametrize("before", [None, b"old"])
def test_who_is_killed_at_any_moment_leaves_a_file_that_has_its_sum(
    tmp_path: Path, before: bytes | None
) -> None:
    if before is not None:
        store(tmp_path, before)
    path, other = tmp_path / "file", tmp_path / "other"
    other.write_bytes(b"new")
    new = {"file": stored.sum_of_file(other)}
    stored.expect(tmp_path, new)
    assert stored.check(tmp_path, "file"), "killed before the file took its place"
    stored.expect(tmp_path, {"file": stored.Sum(3, "of another that never came")})
    assert stored.check(tmp_path, "file"), "and killed again"
    other.replace(path)
    assert stored.check(tmp_path, "file"), "killed before the old sum was let go"
    stored.settle(tmp_path, new)
    assert stored.check(tmp_path, "file")
    if before is not None:
        path.write_bytes(before)
        why_not(tmp_path)


@pytest.mark.parametrize("came", [False, True])
def test_who_goes_on_lets_go_of_what_did_not_come(tmp_path: Path, came: bool) -> None:
    store(tmp_path, b"whole", "other")
    (tmp_path / "new").write_bytes(b"new")
    new = {"file": stored.sum_of_file(tmp_path / "new")}
    stored.expect(tmp_path, new)
    if came:
        (tmp_path / "new").replace(tmp_path / "file")
    stored.settle_all(tmp_path)
    assert stored.is_wanted(tmp_path, "file") == came
    assert stored.check(tmp_path, "file") == came
    assert stored.is_wanted(tmp_path, "other")


def test_a_file_from_before_there_were_sums_may_be_what_it_is_until_it_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    stored.expect(tmp_path, {"file": stored.Sum(3, "new")})
    assert stored.check(tmp_path, "file")


def test_sums_have_a_sum_themselves(tmp_path: Path) -> None:
    store(tmp_path, b"one")
    path = tmp_path / stored.SUMS
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        for bit in (1, 64):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
            said = ""
            try:
                stored.check(tmp_path, "file")
            except RunError as error:
                said = error.what
            assert said in ("", f"{path} is damaged")
    path.unlink()
    assert not stored.check(tmp_path, "file"), "as it was before there were sums"


def test_one_who_reads_while_another_is_put_in_place_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path, b"one")
    before = stored._read(tmp_path)
    store(tmp_path, b"two")
    read, first = stored._read, iter([before])
    monkeypatch.setattr(stored, "_read", lambda folder: next(first, None) or read(folder))
    assert stored.check(tmp_path, "file")


def test_what_is_no_longer_there_has_no_sum(tmp_path: Path) -> None:
    store(tmp_path, b"one")
    store(tmp_path, b"two", "another")
    (tmp_path / "file").unlink()
    stored.forget_missing(tmp_path)
    assert not stored.check(tmp_path, "file")
    (tmp_path / "another").unlink()
    stored.forget_missing(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 5_000,
        b"NaN",
        b"[-Infinity]",
        b'"\\ud800"',
        b"\xff",
        b"",
        b"{} {}",
    ],
)
def test_what_is_not_json_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        stored.parse_json(content)


def test_json_that_would_take_far_more_memory_than_its_text_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"[" + b"[]," * 2_000_001 + b"[]]", b"[" + b"{}," * 2_000_001 + b"{}]"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="more than 4,000,000 values"):
            stored.read_json(path)
    os.truncate(path, stored.MOST_OF_JSON + 1)
    with pytest.raises(OSError, match="it has 67,108,865 bytes"):
        stored.read_json(path)


def test_a_list_of_many_texts_is_read(tmp_path: Path) -> None:
    labels = [f"a label as long as any, and number {number}" for number in range(300_000)]
    (tmp_path / "labels.json").write_text(json.dumps(labels, indent=2))
    assert stored.read_json(tmp_path / "labels.json") == labels


def test_json_is_read(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, "\U0001f600"], "b": {}}
    for ascii_only in (False, True):  # a character is two escapes then
        (tmp_path / "file").write_text(json.dumps(value, ensure_ascii=ascii_only), encoding="utf-8")
        assert stored.read_json(tmp_path / "file") == value


def test_what_does_not_fit_into_memory_is_named(tmp_path: Path) -> None:
    lacking = OSError(errno.ENOMEM, "Cannot allocate memory")
    with pytest.raises(MemoryError, match=str(tmp_path / "model")):
        raise stored.fault(tmp_path / "model", lacking)
