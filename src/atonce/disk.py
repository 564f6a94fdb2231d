"""Files appear whole or not at all, and a folder that is written for long has one owner.

What is half-written lies in a hidden folder beside its place, `.NAME.partial-PID-NUMBER`, with all that the
libraries put there which write it. The process that writes holds a lock on it, as on the `.lock` of a folder
that it owns. The system frees locks when a process ends, however it ends: so what is left by one that was
killed can be told from what another is writing now, though its number (PID) may be another's by then, or
mean nothing here, as between containers.
"""

import errno
import itertools
import json
import os
import re
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atonce.errors import AtonceError, DiskError, RunError

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"
"""In a folder that is owned. Gone when its owner is done; one that was killed leaves it behind, unlocked."""
PATIENCE = 2.0
"""Seconds to wait for an owner who has just been told to end: a large process takes that long to be gone."""

_PARTIAL = re.compile(r"\.(?P<name>.+)\.partial-(?P<pid>\d+)(?P<locked>-\d+)?", re.DOTALL)
_ROOM, _WRITABLE = "make room", "make it writable"
_LONGEST = 200  # bytes of the name of what is half-written: with what is added it must be a name as well
_numbers = itertools.count(1)


def place(path: str | Path, kind: type[AtonceError] = DiskError, *, what: str = "cannot write") -> Path:
    """The path that a user gave. Raises `kind` where no file can be: better known now than when it is needed.

    That is: a name that is too long or has a zero byte in it, links that go round in circles, a file where a
    folder would have to be, a folder that may not be looked into.
    """
    try:
        Path(path).stat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:  # ValueError: a zero byte, or what this system cannot encode
        shown = str(path) if str(path).isprintable() else ascii(str(path))
        raise kind(
            f"{what} {shown if len(shown) < 300 else f'{shown[:300]}…'}",
            why=(error.strerror if isinstance(error, OSError) else None) or str(error),
            fix="check the path, and that its folders may be opened"
            + (", or choose another place" if kind is DiskError else ""),
        ) from None
    return Path(path)


@contextmanager
def replacing(path: Path, *, alone: bool = False) -> Iterator[Path]:
    """Within the block, write the file or folder given; after it, that stands in place of the file `path`.

    If the block fails, or the machine dies in it, `path` is what it was. A folder takes no other folder's
    place: that could not be done at one stroke. Missing parents are made. What was left beside `path` by
    processes that were killed is removed. Everything gets the rights that the user's umask says. `alone`:
    raise RunError if another process is writing the same now.
    Raises DiskError where the disk is full or does not let us write.
    """
    path = place(path)
    try:
        with scratch(path, alone=alone) as folder:
            partial = folder / path.name
            yield partial
            # The lock was made a moment ago, by us: it has the rights that the umask says.
            _settle(partial, stat.S_IMODE((folder / LOCK).stat().st_mode))
            partial.replace(path)
    except OSError as error:
        raise disk_error(path, error) from error


@contextmanager
def scratch(path: Path, *, alone: bool = False) -> Iterator[Path]:
    """Within the block, a hidden folder beside `path`, this block's own; after it, that is gone.

    `alone`: as `replacing` has it. Raises OSError where the disk does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_beside(path, alone=alone)
    folder, lock = _new(path)
    try:
        yield folder
    finally:
        _remove(folder)
        lock.release()


def sweep_beside(path: Path, *, alone: bool = False) -> None:
    """Remove what killed processes left half-written beside `path`. `alone`: as `replacing` has it."""
    for other in _partials(path.parent):
        found = _PARTIAL.fullmatch(other.name)
        assert found is not None
        mine = found["name"] == _short(path.name)
        if (found["locked"] or (mine and not _is_alive(int(found["pid"])))) and _remove_left(other):
            continue
        if mine and alone:
            raise RunError(
                f"process {found['pid']} is writing {path} now",
                why="both would want to put theirs there",
                fix="wait until it has ended, or choose another place",
            )


def hidden(path: Path, what: str) -> Path:
    """Where something that belongs to `path` lies beside it: `.NAME.WHAT`."""
    return path.with_name(f".{_short(path.name)}.{what}")


def remove_partial(folder: Path) -> None:
    """Remove what killed processes left half-written in `folder`, which this one owns.

    Earlier versions held no locks: what is theirs goes.
    """
    for partial in _partials(folder):
        _remove_left(partial)


@contextmanager
def owned(folder: Path, doing: str) -> Iterator[None]:
    """Within the block, no other process has `folder`, which is made if there is none.

    It has it to write there, not to read. `doing`: what is done there, for others who want to ("trains").
    After the block, a folder that was made for it and holds nothing is gone.
    Raises RunError if another process has the folder, or the one that it is in (a comparison's, for one), and
    DiskError where it cannot be made or written.
    """
    from filelock import Timeout

    folder = place(folder)
    _check_free(folder.parent)
    # From the inside out, so that all that was made for it can be taken back.
    made = list(itertools.takewhile(lambda one: not one.exists(), (folder, *folder.parents)))
    lock = _lock(folder / LOCK, seconds=PATIENCE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise _in_use(folder) from None
    except OSError as error:
        _remove_empty(made)
        if os.path.lexists(folder / LOCK) and not stat.S_ISREG((folder / LOCK).lstat().st_mode):
            raise RunError(
                f"{folder / LOCK} is no lock",
                why="a lock is a file, and this is a folder, a link or a device",
                fix=f"see what it is, and delete {folder / LOCK}",
            ) from None
        raise disk_error(folder, error) from error
    try:
        _sign(lock, folder / LOCK, doing)
        yield
    finally:
        with suppress(OSError):  # while it is held: who waits for it sees that, and takes the next one
            (folder / LOCK).unlink()
        lock.release()
        _remove_empty(made)


def is_owned(folder: Path) -> bool:
    """Whether a process has `folder` now. Who asks writes nothing there, and is in nobody's way."""
    if sys.platform == "win32":
        return _is_locked(folder / LOCK)
    import fcntl

    try:
        with (folder / LOCK).open("rb") as file:
            # Shared: two who only ask would otherwise take one another for owners.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:  # there is none, or it is not ours to read; or the disk has no locks but files
        return error.errno == errno.ENOSYS
    return False


def _is_locked(path: Path) -> bool:
    """Where locks cannot be shared."""
    from filelock import Timeout

    if not path.exists():
        return False
    lock = _lock(path, seconds=0.0)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:  # not ours to lock
        return False
    lock.release()
    return False


def write_text(path: Path, text: str) -> None:
    """Put `text` into the file `path`, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Put `value` as readable JSON into the file `path`, whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def disk_error(path: Path, error: OSError) -> DiskError:
    """What to tell a user whose disk did not take a file."""
    refused = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    return DiskError(
        f"cannot write {path}",
        why=f"{error.strerror or error}; nothing was changed there",
        fix=f"{_WRITABLE if refused else _ROOM} or choose another place, then run the same command again",
    )


@contextmanager
def advising(fix: str, *, only_if: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Within the block, a DiskError says how to go on here, once there is room: by `fix`."""
    try:
        yield
    except DiskError as error:
        if not only_if():
            raise
        room = _WRITABLE if error.fix.startswith(_WRITABLE) else _ROOM
        raise DiskError(error.what, why=error.why, fix=f"{room}, then {fix}") from error


def move(source: Path, target: Path) -> None:
    """Give a file or folder another place on the same disk. Raises DiskError."""
    try:
        source.replace(target)
    except OSError as error:
        raise disk_error(target, error) from error


def copy_linked(source: Path, target: Path) -> None:
    """The same files under another name, where the disk can do that: nothing ever changes a file in place.

    Raises OSError, of which shutil.Error is one.
    """
    shutil.copytree(source, target, copy_function=_link) if source.is_dir() else _link(source, target)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _short(name: str) -> str:
    return name.encode(errors="surrogateescape")[:_LONGEST].decode(errors="ignore")


def _lock(path: Path, *, seconds: float) -> "BaseFileLock":
    """A lock on a file; acquired, it is the process's until that ends. Waits as long for one that is held."""
    from filelock import FileLock

    return FileLock(path, timeout=seconds)


def _new(path: Path) -> "tuple[Path, BaseFileLock]":
    """A new hidden folder beside `path`, and the lock on it."""
    from filelock import Timeout

    while True:
        folder = path.with_name(f".{_short(path.name)}.partial-{os.getpid()}-{next(_numbers)}")
        try:
            folder.mkdir()
        except FileExistsError:  # another's, who had the same number
            continue
        lock = _lock(folder / LOCK, seconds=0.0)
        try:
            lock.acquire()
        except (Timeout, FileNotFoundError):  # someone took it for left behind, before it was locked
            continue
        except BaseException:
            _remove(folder)
            raise
        return folder, lock


def _partials(folder: Path) -> list[Path]:
    """What is half-written in a folder, or was when its process was killed."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [folder / name for name in names if _PARTIAL.fullmatch(name)]


def _remove_left(partial: Path) -> bool:
    """Remove something half-written, unless a process holds its lock. Whether it is gone."""
    from filelock import Timeout

    if not (partial / LOCK).exists():
        if _PARTIAL.fullmatch(partial.name)["locked"]:  # type: ignore[index]
            with suppress(OSError):  # killed before it was locked; or just being made, then it is made again
                partial.rmdir()
        else:  # of an earlier version
            _remove(partial)
        return not partial.exists()
    lock = _lock(partial / LOCK, seconds=0.0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return False
    try:
        _remove(partial)
    finally:
        lock.release()
    return not partial.exists()


def _sign(lock: "BaseFileLock", path: Path, doing: str) -> None:
    """Write into a lock who holds it, for others to read."""
    from filelock import SoftFileLock

    if isinstance(lock, SoftFileLock):  # where the disk has no locks, it keeps its own notes in the file
        return
    with suppress(OSError):  # a full disk: then they are told less
        signed = {"pid": os.getpid(), "host": socket.gethostname(), "doing": doing}
        path.write_text(json.dumps(signed) + "\n", encoding="utf-8")


def _signature(folder: Path) -> dict[str, Any]:
    """Who has a folder, as far as it is said."""
    try:
        text = (folder / LOCK).read_text(encoding="utf-8")
        signed = json.loads(text)
        return signed if isinstance(signed, dict) else {"pid": int(text.split()[0])}
    except (OSError, ValueError, IndexError):
        return {}


def _in_use(folder: Path) -> RunError:
    signed = _signature(folder)
    there = "" if signed.get("host") in (None, socket.gethostname()) else f" on {signed['host']}"
    who = f"process {signed['pid']}{there}" if "pid" in signed else "another process"
    return RunError(
        f"{folder} is in use: {who} {signed.get('doing', 'works')} here",
        why="two at once would write over each other's files",
        fix="wait until it has ended, or end it; or choose another folder",
    )


def _check_free(folder: Path) -> None:
    """Raise RunError if a process has `folder`, unless it is this one, or the one that started this one."""
    from filelock import Timeout

    if not (folder / LOCK).exists():
        return
    signed = _signature(folder)
    # A comparison has its folder while it trains models in it, in processes of its own.
    if signed.get("pid") in (os.getpid(), os.getppid()) and signed.get("host") == socket.gethostname():
        return
    lock = _lock(folder / LOCK, seconds=PATIENCE)
    try:
        lock.acquire()
    except Timeout:
        raise _in_use(folder) from None
    except OSError:  # not ours to lock: then it is somebody else's, and not of the same comparison
        return
    lock.release()


def _is_alive(pid: int) -> bool:
    """Whether there is a process of this number on this machine."""
    if sys.platform == "win32":
        return True  # os.kill would end it
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # the latter of a number that no process can have
        return False
    except OSError:  # refused: so there is one, of another user
        return True
    return True


def _remove(partial: Path) -> None:
    """Remove a file or folder, as far as the disk lets us. Its lock goes last: by that it is known."""
    with suppress(OSError):
        for inner in [one for one in partial.iterdir() if one.name != LOCK]:
            shutil.rmtree(inner, ignore_errors=True)
            inner.unlink(missing_ok=True)
    shutil.rmtree(partial, ignore_errors=True)
    with suppress(OSError):
        partial.unlink(missing_ok=True)


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders that hold nothing, the innermost first."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _settle(partial: Path, rights: int) -> None:
    """Let the disk have all that was written, with the rights that any new file has.

    A rename may otherwise outlive the contents in a power cut. Some libraries write by files that nobody else
    may read.
    """
    for file in partial.rglob("*") if partial.is_dir() else [partial]:
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
                mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            if mode | rights != mode:
                file.chmod(mode | rights)
