import os
import resource
from pathlib import Path

import pytest

from atonce.disk import remove_partial, replacing, write_json, write_text
from atonce.errors import DiskError


def test_a_new_file_in_a_new_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "file.txt", "é\n")
    assert (tmp_path / "a" / "b" / "file.txt").read_bytes() == "é\n".encode()


def test_a_file_is_replaced(tmp_path: Path) -> None:
    for text in ("long text", "short"):
        write_text(tmp_path / "file", text)
    assert (tmp_path / "file").read_text() == "short"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_json_is_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"key": "ö"})
    assert (tmp_path / "file.json").read_text(encoding="utf-8") == '{\n  "key": "ö"\n}\n'


def test_a_folder(tmp_path: Path) -> None:
    with replacing(tmp_path / "folder") as partial:
        (partial / "inner").mkdir(parents=True)
        (partial / "inner" / "file").write_text("x")
        assert not (tmp_path / "folder").exists()
    assert (tmp_path / "folder" / "inner" / "file").read_text() == "x"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_takes_no_other_folders_place(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    with pytest.raises(DiskError), replacing(tmp_path / "folder") as partial:
        partial.mkdir()
    assert (tmp_path / "folder" / "mine").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_is_not_finished_leaves_no_trace(tmp_path: Path, error: type[BaseException]) -> None:
    write_text(tmp_path / "file", "before")

    def unfinished() -> None:
        with replacing(tmp_path / "file") as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(error):
        unfinished()
    assert (tmp_path / "file").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "before")
    with replacing(tmp_path / "file") as partial:
        partial.write_text("after")
        assert (tmp_path / "file").read_text() == "before"
    assert (tmp_path / "file").read_text() == "after"


def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    """The system itself refuses: a limit on the size of files stands for the full disk."""
    write_text(tmp_path / "file", "before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(DiskError) as caught:
            write_text(tmp_path / "file", "x" * 20_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.what == f"cannot write {tmp_path / 'file'}"
    assert caught.value.why == "File too large; nothing was changed there"
    assert "make room" in caught.value.fix
    assert (tmp_path / "file").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_place_where_no_file_can_be(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "before")
    with pytest.raises(DiskError, match="cannot write"):
        write_text(tmp_path / "file" / "below", "x")
    assert (tmp_path / "file").read_text() == "before"


def test_contents_are_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    move, fsync = Path.replace, os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("flush"), fsync(file)))
    monkeypatch.setattr(Path, "replace", lambda one, other: (done.append("name"), move(one, other)))
    write_text(tmp_path / "file", "x")
    assert done == ["flush", "name"]


def test_remove_partial(tmp_path: Path) -> None:
    for name in (".file.partial-12", "file", ".hidden", "a.partial-12"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".folder.partial-9").mkdir()
    (tmp_path / ".folder.partial-9" / "file").write_text("x")
    remove_partial(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"file", ".hidden", "a.partial-12"}
    remove_partial(tmp_path / "no such folder")
