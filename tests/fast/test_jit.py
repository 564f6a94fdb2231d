"""Compiled code is kept where an outdated one is never found, and nowhere if there is no place."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest

from compiling import kernels_or_skip

kernels_or_skip()

from atonce.fast import jit  # noqa: E402

PROGRAM = """
import numpy as np
from atonce.fast.topk import greatest
print(greatest(np.array([1, 3, 2], np.float32)), sum(greatest.stats.cache_hits.values()))
"""


DIES = """
import os, signal
from pathlib import Path
move = Path.replace
def dying(path, target):
    if target.suffix == ".nbc":
        os.kill(os.getpid(), signal.SIGKILL)
    return move(path, target)
Path.replace = dying
"""


def ended(home: Path, program: str) -> "subprocess.CompletedProcess[str]":
    environment = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "PATH": "/usr/bin:/bin"}
    if "PYTHONPATH" in os.environ:
        environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)


def run(home: Path, program: str = PROGRAM) -> str:
    done = ended(home, program)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a process that has compiled and kept. Who changes it changes a copy."""
    home = tmp_path_factory.mktemp("compiled")
    assert run(home) == "3.0 0"
    return home


@pytest.fixture
def home(compiled: Path, tmp_path: Path) -> Path:
    return copytree(compiled, tmp_path / "home")


@pytest.mark.skipif(sys.platform == "win32", reason="the cache is found by HOME")
def test_the_next_process_finds_what_was_compiled(home: Path) -> None:
    assert run(home) == "3.0 1"
    (folder,) = (home / "cache" / "atonce" / "kernels").iterdir()
    folder.rename(folder.with_name("of-other-sources"))
    assert run(home) == "3.0 0"


@pytest.mark.skipif(sys.platform == "win32", reason="the cache is found by HOME")
def test_what_was_kept_and_is_damaged_is_compiled_again(home: Path) -> None:
    for kept in (home / "cache").rglob("*.nb[ic]"):
        kept.write_bytes(b"neither index nor code")
    assert run(home) == "3.0 0"
    assert run(home) == "3.0 1", "and kept again"


@pytest.mark.skipif(sys.platform == "win32", reason="the cache is found by HOME")
@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_a_single_bit_of_what_was_kept_is_enough(home: Path, suffix: str) -> None:
    """Machine code with another bit may do anything."""
    for kept in (home / "cache").rglob(f"*.{suffix}"):
        content = bytearray(kept.read_bytes())
        content[len(content) // 2] ^= 4
        kept.write_bytes(content)
    assert run(home) == "3.0 0"
    assert run(home) == "3.0 1"


@pytest.mark.skipif(sys.platform == "win32", reason="the cache is found by HOME")
def test_a_kill_leaves_nothing_that_the_next_process_does_not_remove(tmp_path: Path) -> None:
    assert ended(tmp_path, DIES + PROGRAM).returncode == -signal.SIGKILL
    (folder,) = (tmp_path / "cache" / "atonce" / "kernels").iterdir()
    assert list(folder.rglob(".*.partial-*"))
    assert run(tmp_path) == "3.0 0"
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".nbi", ".nbc"}
    assert run(tmp_path) == "3.0 1"


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limit")
def test_a_full_disk_keeps_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    assert run(tmp_path, full + PROGRAM) == "3.0 0"
    assert run(tmp_path) == "3.0 0"


def test_other_sources_have_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of them changes: a compiled function holds those that it calls."""
    copied = Path(copytree(Path(jit.__file__).parent, tmp_path / "kernels"))
    monkeypatch.setattr(jit, "__file__", str(copied / "jit.py"))
    monkeypatch.setattr(jit.pooch, "os_cache", lambda name: tmp_path / name)
    folder = jit._folder.__wrapped__
    before = folder()
    assert before == folder()
    for source in copied.glob("*.py"):
        source.write_text(source.read_text() + "# changed")
        assert before != (before := folder())


def test_a_place_that_cannot_be_listed_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one that was made with sudo, for its owner alone."""

    def refused(folder: Path) -> Iterator[Path]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setattr(jit.pooch, "os_cache", lambda name: tmp_path / name)
    monkeypatch.setattr(Path, "iterdir", refused)
    assert jit._folder.__wrapped__() is None


@pytest.mark.skipif(sys.platform == "win32", reason="the cache is found by HOME")
def test_without_a_place_it_is_compiled_again(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert run(tmp_path) == "3.0 0"
    assert (tmp_path / "cache").is_file()
