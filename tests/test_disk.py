import errno
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from atonce import disk
from atonce.disk import LOCK, is_owned, owned, place, remove_partial, replacing, write_json, write_text
from atonce.errors import DataError, DiskError, RunError


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


# What other processes write, and what they left when they were killed


@contextmanager
def other_process(within: str, *arguments: str | Path) -> Iterator[int]:
    """Another process in the block of `within`, until this block ends, or it is killed. Gives its number."""
    code = f"import sys\nfrom pathlib import Path\nfrom atonce.disk import *\nwith {within} as given:\n"
    code += "    if given is not None: given.write_text('half')\n"
    code += "    print('in', flush=True)\n    sys.stdin.read()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        try:
            yield process.pid
        finally:
            process.kill()


def test_what_another_process_is_writing_is_left_until_it_is_killed(tmp_path: Path) -> None:
    with other_process("replacing(Path(sys.argv[1]))", tmp_path / "other"):
        write_text(tmp_path / "file", "x")
        remove_partial(tmp_path)
        (partial,) = tmp_path.glob(".other.partial-*")
        assert (partial / "other").read_text() == "half"
    assert partial.exists()
    write_text(tmp_path / "file", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_number_that_another_process_has_by_now_keeps_nothing(tmp_path: Path) -> None:
    left = tmp_path / f".file.partial-{os.getppid()}-1"
    left.mkdir()
    (left / LOCK).touch()
    (left / ".tmpAb12").write_text("of a library")
    write_text(tmp_path / "another", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["another"]


def test_what_an_earlier_version_left_beside_a_file_goes_if_its_process_is_gone(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name in (f".file.partial-{gone.pid}", f".file.partial-{os.getppid()}", f".mine.partial-{gone.pid}"):
        (tmp_path / name).write_text("half")
    write_text(tmp_path / "file", "x")
    kept = {f".file.partial-{os.getppid()}", f".mine.partial-{gone.pid}", "file"}
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_two_may_write_the_same_unless_one_wants_to_be_alone(tmp_path: Path) -> None:
    with other_process("replacing(Path(sys.argv[1]))", tmp_path / "file") as pid:
        write_text(tmp_path / "file", "x")
        with (
            pytest.raises(RunError, match=f"process {pid} is writing .*file now"),
            replacing(tmp_path / "file", alone=True),
        ):
            pass
    with replacing(tmp_path / "file", alone=True) as partial:
        partial.write_text("y")
    assert (tmp_path / "file").read_text() == "y"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_has_one_owner_until_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "PATIENCE", 0.1)
    folder = tmp_path / "folder"
    with other_process("owned(Path(sys.argv[1]), 'trains')", folder) as pid:
        for place_ in (folder, folder / "inner"):
            with pytest.raises(RunError) as caught, owned(place_, "compares"):
                pass
            assert caught.value.what == f"{folder} is in use: process {pid} trains here"
        assert not (folder / "inner").exists()
    assert (folder / LOCK).exists(), "it was killed"
    with owned(folder, "trains"), owned(folder / "inner", "trains"):
        assert str(os.getpid()) in (folder / LOCK).read_text()
        (folder / "inner" / "kept").touch()
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*")] == ["inner", "inner/kept"]


def test_who_asks_whether_a_folder_has_an_owner_leaves_nothing_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_owned(tmp_path)
    with other_process("owned(Path(sys.argv[1]), 'trains')", tmp_path):
        assert is_owned(tmp_path)
    (tmp_path / LOCK).unlink()
    monkeypatch.setattr(Path, "exists", lambda _: True)  # it was given free in between
    assert not is_owned(tmp_path)
    assert not list(tmp_path.iterdir())


def test_two_may_ask_at_once_whether_a_folder_has_an_owner(tmp_path: Path) -> None:
    """Neither takes the other for one."""
    import fcntl

    (tmp_path / LOCK).touch()
    with (tmp_path / LOCK).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert not is_owned(tmp_path)


def test_a_folder_that_was_made_to_be_owned_is_gone_if_nothing_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), owned(tmp_path / "a" / "b", "trains"):
        raise ValueError("broken")
    assert not list(tmp_path.iterdir())


def test_whoever_waits_gets_what_was_just_given_free(tmp_path: Path) -> None:
    with other_process("owned(Path(sys.argv[1]), 'trains')", tmp_path) as pid:
        os.kill(pid, 9)
        with owned(tmp_path, "trains"):
            pass
    assert not list(tmp_path.iterdir())


# Rights


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o002])
def test_everything_has_the_rights_that_the_umask_says(tmp_path: Path, umask: int) -> None:
    """Whatever rights it was written with by a library."""
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "new" / "folder") as partial:
            partial.mkdir()
            for name in ("private", "plain"):
                (partial / name).touch()
            (partial / "private").chmod(0o600)
        write_text(tmp_path / "new" / "file", "x")
    finally:
        os.umask(before)
    for path in (tmp_path / "new", *(tmp_path / "new").rglob("*")):
        wanted = (0o777 if path.is_dir() else 0o666) & ~umask
        assert oct(stat.S_IMODE(path.stat().st_mode)) == oct(wanted), path


# Places where no file can be


def odd_places(folder: Path) -> dict[str, str]:
    (folder / "file").touch()
    (folder / "loop").symlink_to(folder / "loop")
    return {
        "zero byte": f"{folder}/a\0b",
        "too long": f"{folder}/{'n' * 300}",
        "too deep": f"{folder}/{'n/' * 3000}",
        "file for a folder": f"{folder}/file/inner",
        "loop": f"{folder}/loop/inner",
    }


@pytest.mark.parametrize("odd", ["zero byte", "too long", "too deep", "file for a folder", "loop"])
def test_a_path_that_cannot_be_is_told_in_three_lines(tmp_path: Path, odd: str) -> None:
    path = odd_places(tmp_path)[odd]
    before = sorted(tmp_path.rglob("*"))
    for use in (
        place,
        lambda path: write_text(Path(path), "x"),
        lambda path: owned(Path(path), "").__enter__(),
    ):
        with pytest.raises(DiskError, match="cannot write") as caught:
            use(path)
        lines = str(caught.value).splitlines()
        assert len(lines) == 3
        assert len(lines[0]) < 400
        assert "\0" not in lines[0]
    with pytest.raises(DataError, match="cannot read"):
        place(path, DataError, what="cannot read")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_longest_name_that_the_system_has(tmp_path: Path) -> None:
    name = "ü" * 125 + ".json"
    write_json(tmp_path / name, {})
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("refused", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_what_may_not_be_written_is_told_otherwise_than_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    """Who runs the tests may be allowed everything."""

    def refusing(*_: object, **__: object) -> None:
        raise OSError(refused, os.strerror(refused), str(tmp_path))

    monkeypatch.setattr(Path, "mkdir", refusing)
    with pytest.raises(DiskError) as caught:
        write_text(tmp_path / "file", "x")
    assert caught.value.fix.startswith("make it writable or choose another place")
    assert os.strerror(refused) in caught.value.why
    with pytest.raises(DiskError, match=os.strerror(refused)), owned(tmp_path / "new", "trains"):
        pass


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_is_no_lock_is_named(tmp_path: Path, kind: str) -> None:
    lock = tmp_path / "run" / LOCK
    lock.parent.mkdir()
    if kind == "folder":
        lock.mkdir()
    else:
        lock.symlink_to("/dev/zero")
    with pytest.raises(RunError) as caught, owned(lock.parent, "trains"):
        pass
    assert caught.value.what == f"{lock} is no lock"
    assert os.path.lexists(lock)
