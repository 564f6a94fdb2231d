"""The drawing process: the library that draws has a process of its own, so that it fails alone.

The library (vl-convert: Vega in V8, and resvg) is native code that may abort its whole process, and draws as
long and in as much memory as a figure asks for. The process is started for the first figure, draws one after
another, and is replaced when it has died, or has grown.
"""

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

from atonce.children import COMMAND, environment
from atonce.errors import FigureError, reason

MIB = 1 << 20
_GROWN = 300 * MIB
"""A process that has held more is replaced: the library gives little of it back."""
_REPLY = struct.Struct(">cQ")
_DONE, _FAILED, _GROWN_TOO_LARGE = b"d", b"f", b"g"
_WANTS_MEMORY = (b"out of memory", b"memory allocation of", b"Check failed: (result.ptr) != nullptr")
"""Messages of V8 and the library's allocator when memory runs out: for a heap, a vector, a buffer."""
_BEGIN = "import sys; from atonce.figures.drawing_process import serve; serve(sys.argv[1] == 'ready')"


@dataclass(frozen=True)
class DrawingLimits:
    """What one drawing may take."""

    seconds: float = 600.0
    memory: int = 4096 * MIB
    """Bytes that it may write to (RLIMIT_DATA, on Linux), 0.5 GB of which the library reserves at once."""


OF_ONE_USER = DrawingLimits()
"""For the command line and notebooks: more than any figure there takes."""


class TooMuchToDraw(FigureError):
    """A figure that takes more time or memory than there is for it."""


class DrawingDied(FigureError):
    """The process that draws figures died of one, was killed, or cannot be started."""


class DrawingProcess:
    """The process, as seen from outside. Threads may share it: it draws one figure at a time."""

    # subprocess, not multiprocessing: that would import this program's main module again, and torch.

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] | None = None
        if hasattr(os, "register_at_fork"):  # as Unix has it
            os.register_at_fork(after_in_child=self._forget)

    @property
    def pid(self) -> int | None:
        """Its number, if it is there."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it, if it does not run, and let it warm up; without waiting for it.

        If it cannot be started, `ask` raises.
        """
        if self._lock.acquire(blocking=False):  # else it is there, and drawing
            try:
                with contextlib.suppress(DrawingDied):
                    self._started(ready=True)
            finally:
                self._lock.release()

    def ask(self, task: str, limits: DrawingLimits = OF_ONE_USER, **what: Any) -> bytes:
        """The result of the library's function `task` with the arguments `what`.

        Raises TooMuchToDraw where that takes more than `limits`, DrawingDied where the process dies or cannot
        be started, and FigureError where it fails.
        """
        said = json.dumps({"task": task, "what": what, "seconds": limits.seconds, "memory": limits.memory})
        with self._lock:
            try:
                kind, content = self._exchange(said.encode() + b"\n", limits)
            except BaseException:  # interrupted: what it answers now would be taken for the next answer
                self._end(kill=True)
                raise
            # After a failure, too: a panic may have left the library in any state.
            if kind != _DONE:
                self._end()
        if kind == _FAILED:
            raise FigureError(
                "the figure cannot be drawn",
                why=content.decode(errors="replace"),
                fix="save it as .html, which a browser draws, or as .json",
            )
        return content

    def kill(self) -> None:
        """End it now; whoever waits for it gets an error."""
        # Without the lock, which the thread that is drawing holds.
        process = self._process
        if process is not None:
            with contextlib.suppress(OSError):
                process.kill()

    def close(self) -> None:
        """End it, after the current drawing."""
        with self._lock:
            self._end()

    def _exchange(self, said: bytes, limits: DrawingLimits) -> tuple[bytes, bytes]:
        late = threading.Event()
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        assert self._complaints is not None
        self._complaints.seek(0)  # for both processes: what was said of other figures is nothing to this one
        self._complaints.truncate()

        def stop() -> None:
            late.set()
            process.kill()

        # Killed from here: in native code that loops, no handler of Python's runs.
        timer = threading.Timer(limits.seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):  # it has died: the reply, which is missing, says so
                process.stdin.write(said)
                process.stdin.flush()
            head = process.stdout.read(_REPLY.size)
            if len(head) == _REPLY.size:
                kind, size = _REPLY.unpack(head)
                content = process.stdout.read(size)
                if len(content) == size:
                    return kind, content
        finally:
            timer.cancel()
        raise self._death(process, limits, late=late.is_set())

    def _death(self, process: "subprocess.Popen[bytes]", limits: DrawingLimits, *, late: bool) -> FigureError:
        code = process.wait()
        if late:
            return TooMuchToDraw(
                "the figure was not drawn in time",
                why=f"a drawing may take {limits.seconds:g} seconds",
                fix="draw less: a shorter text, one head, words in place of tokens",
            )
        assert self._complaints is not None
        self._complaints.seek(0)
        if _wants_memory(self._complaints.read(MIB)):
            return TooMuchToDraw(
                "the figure is too large to be drawn",
                why=f"a drawing may take {limits.memory // MIB:,} MB of memory",
                fix="draw less: a shorter text, one head, words in place of tokens",
            )
        ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return DrawingDied(
            "the process that draws figures died",
            why=f"it ended with {ended} while it drew this one; only the figure is lost",
            fix="try again, or save it as .html, which a browser draws, or as .json",
        )

    def _started(self, *, ready: bool = False) -> "subprocess.Popen[bytes]":
        """The process, a new one if the last has died. `ready`: it warms up at once."""
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            try:
                self._process, self._complaints = _begun("ready" if ready else "asked")
            except OSError as error:
                raise DrawingDied(
                    "the process that draws figures cannot be started",
                    why=reason(error),
                    fix="try again when the machine has room, or save it as .html, which a browser draws",
                ) from None
        return self._process

    def _end(self, *, kill: bool = False) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        assert self._complaints is not None
        if kill:
            process.kill()
        with contextlib.suppress(OSError):
            process.stdin.close()  # at the end of its input it ends by itself
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        self._complaints.close()

    def _forget(self) -> None:
        """In a fork: it belongs to the parent, and its pipes have no room for two."""
        self._lock = threading.Lock()
        process, self._process = self._process, None
        if process is not None and process.stdin is not None and process.stdout is not None:
            process.returncode = 0  # or its end would be waited for
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    os.close(pipe.fileno())


SHARED = DrawingProcess()
"""The drawing process that all figures of this process share: each would take 86 MB."""


def serve(ready: bool) -> None:
    """The main loop of the process: draw what stdin says, one after another, until it ends.

    `ready`: begin with something small, as the first drawing takes a second more than those after it.
    """
    asked, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever the library prints is not part of an answer
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the parent, with which it ends
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as first:
        first.write("1000")  # if memory runs out, the system kills this process and not the parent
    import vl_convert

    if ready:
        vl_convert.vegalite_to_svg({"data": {"values": [{}]}, "mark": "point"})

    for line in asked:
        told = json.loads(line)
        _limit(told["seconds"], told["memory"])  # anew for each: server and notebook have their own limits
        try:
            kind, content = _DONE, _made(getattr(vl_convert, told["task"]), told["what"])
        except BaseException as error:  # a panic of the library is no Exception
            kind, content = _FAILED, _first_line(error).encode(errors="replace")
        if kind == _DONE and _held() > _GROWN:
            kind = _GROWN_TOO_LARGE
        answers.write(_REPLY.pack(kind, len(content)))
        answers.write(content)
        answers.flush()
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)


def _begun(how: str) -> tuple["subprocess.Popen[bytes]", IO[bytes]]:
    """A new process, and the file with its stderr. Raises OSError."""
    # A file and not a pipe: nobody reads it meanwhile, and a full pipe would stop the process.
    complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
    try:
        process = subprocess.Popen(
            [*COMMAND, "-c", _BEGIN, how],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
    except OSError:
        complaints.close()
        raise
    return process, complaints


def _wants_memory(complaint: bytes) -> bool:
    """Whether the process said that it ran out of memory."""
    return any(said in complaint for said in _WANTS_MEMORY)


def _made(draw: Callable[..., str | bytes], what: Mapping[str, Any]) -> bytes:
    made = draw(**what)
    return made.encode() if isinstance(made, str) else bytes(made)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:500]


def _limit(seconds: float, memory: int) -> None:
    """Limit the next drawing, as far as the system can; the parent limits its time as well."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds + 5)  # nobody may be left to end it
    # RLIMIT_DATA, not RLIMIT_AS: V8 reserves far more addresses than it ever writes to.
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _held() -> int:
    """The most bytes of memory that this process has held at once."""
    if sys.platform == "win32":
        return 0
    # Not what getrusage says on Linux: there that is at least what who started this process had held.
    with contextlib.suppress(OSError, StopIteration), open("/proc/self/status", encoding="ascii") as status:
        peak = next(line for line in status if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
