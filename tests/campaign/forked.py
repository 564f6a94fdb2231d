"""A command of atonce in a fork of a process that has imported it already: exit code, texts, memory.

Importing torch takes two seconds; a fork starts in milliseconds, and still a hang, a signal or an exhausted
memory is its own alone. What is seen is what a user would see.
"""

import contextlib
import importlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before torch is imported: its threads would not survive a fork

PRELOADED = (
    "torch", "torch._dynamo", "numpy", "sacrebleu", "sentencepiece", "safetensors.torch",
    "atonce.cli.main", "atonce.cli.app", "atonce.cli.predict",
    "atonce.studies.experiment",
    "atonce.training.train", "atonce.decoding.load", "atonce.explain.api",
)  # fmt: skip
GIB = 1 << 30


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int | None
    """Its exit code, negative for a signal; None where it took longer than it may."""
    stdout: str
    stderr: str
    seconds: float
    peak: int
    """The most memory it held beyond what the process it was forked from had, in bytes."""

    @property
    def verdict(self) -> str:
        """`ok`, `refused` (exit code 2; what, why and what to do are said) or the name of a fault."""
        if self.code is None:
            return "hang"
        if "Traceback (most recent call last)" in self.stderr:
            return "traceback"
        if self.code < 0:
            return signal.Signals(-self.code).name
        if self.code == 0:
            return "ok"
        if self.code == 2 and _says_what_to_do(self.stderr):
            return "refused"
        return f"exit code {self.code} without a reason"

    @property
    def fine(self) -> bool:
        """Whether it did what it was asked for, or said why not."""
        return self.verdict in ("ok", "refused")


def _says_what_to_do(stderr: str) -> bool:
    lines = stderr.splitlines()
    three = all(any(line.startswith(start) for line in lines) for start in ("error: ", "  why: ", "  fix: "))
    return three or stderr.startswith("Usage:")  # typer's own, for an option that it does not know


def preload() -> None:
    """Import what commands import, once."""
    for module in PRELOADED:
        importlib.import_module(module)
    import torch

    torch.set_num_threads(1)


def run_forked(
    arguments: Sequence[str],
    folder: Path,
    *,
    seconds: float = 30,
    memory: int = 8 * GIB,
    environment: Mapping[str, str] | None = None,
    run: Callable[[], None] | None = None,
) -> Ended:
    """Run `atonce ARGUMENTS` (or `run`) in `folder`.

    `seconds` and `memory` (bytes of address space) are its limits.
    """
    began = time.monotonic()
    pid = start_forked(arguments, folder, memory=memory, environment=environment, run=run)
    code, used = _wait(pid, began + seconds)
    said, complained = (
        (folder / name).read_text(encoding="utf-8", errors="replace") for name in (".stdout", ".stderr")
    )
    return Ended(code, said, complained, time.monotonic() - began, max(0, used - _resident()))


def start_forked(
    arguments: Sequence[str],
    folder: Path,
    *,
    memory: int = 8 * GIB,
    environment: Mapping[str, str] | None = None,
    run: Callable[[], None] | None = None,
) -> int:
    """Start it, and give its process, for who wants to kill it. It leads a process group."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        _redirect()
        os.environ.update({"NO_COLOR": "1", "COLUMNS": "200"} | dict(environment or {}))
        resource.setrlimit(resource.RLIMIT_AS, (memory, resource.getrlimit(resource.RLIMIT_AS)[1]))
        sys.argv = ["atonce", *arguments]
        code = _code_of(run or importlib.import_module("atonce.cli.main").main)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _code_of(run: Callable[[], None]) -> int:
    """The exit code that Python would give."""
    try:
        run()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _redirect() -> None:
    """Nothing on stdin; stdout and stderr into files of the working folder."""
    for number, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, ".stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, ".stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        opened = os.open(name, flags, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 (the process's own)
    sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, encoding="utf-8", buffering=1)  # noqa: SIM115


def _wait(pid: int, until: float) -> tuple[int | None, int]:
    """Exit code and the most resident memory, in bytes; after `until` its whole group is killed."""
    late = False
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return (None if late else os.waitstatus_to_exitcode(status)), usage.ru_maxrss * 1024
        if time.monotonic() > until and not late:
            late = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        time.sleep(0.003)


def _resident() -> int:
    """Bytes of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
