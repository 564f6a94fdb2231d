"""What draws can die, hang or grow without harm to who asked; the next figure is drawn."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atonce.errors import FigureError
from atonce.figures import drawing_process
from atonce.figures.drawing_process import MIB, DrawingDied, DrawingLimits, DrawingProcess, TooMuchToDraw

SMALL: dict[str, Any] = {"data": {"values": [{"a": 1}]}, "mark": "point", "encoding": {"x": {"field": "a"}}}
ENDLESS: dict[str, Any] = {**SMALL, "data": {"sequence": {"start": 0, "stop": 3_000_000, "as": "a"}}}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits as Unix has them")


@pytest.fixture
def process() -> Iterator[DrawingProcess]:
    one = DrawingProcess()
    yield one
    one.close()


def svg(process: DrawingProcess, spec: dict[str, Any], **limits: Any) -> str:
    return process.ask("vegalite_to_svg", DrawingLimits(**limits), vl_spec=spec).decode()


def draws(process: DrawingProcess) -> None:
    """It does: what needs no Vega is there at once."""
    assert process.ask("svg_to_png", svg='<svg xmlns="http://www.w3.org/2000/svg"/>').startswith(b"\x89PNG")


def kill_while_drawing(process: DrawingProcess) -> None:
    while process.pid is None:
        time.sleep(0.01)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)


def test_a_process_that_is_killed_costs_one_figure(process: DrawingProcess) -> None:
    killer = threading.Thread(target=kill_while_drawing, args=(process,))
    killer.start()
    with pytest.raises(DrawingDied, match=r"SIGKILL[\s\S]*fix: try again"):
        svg(process, ENDLESS)
    killer.join()
    draws(process)


def test_what_was_said_of_another_figure_is_nothing_to_this_one(process: DrawingProcess) -> None:
    draws(process)
    assert process._complaints is not None
    process._complaints.write(b"memory allocation of 9 bytes failed")
    process._complaints.flush()
    killer = threading.Thread(target=kill_while_drawing, args=(process,))
    killer.start()
    with pytest.raises(DrawingDied):
        svg(process, ENDLESS)
    killer.join()


@pytest.mark.parametrize("name", ["subprocess.Popen", "tempfile.TemporaryFile"])
def test_where_no_process_can_be_started_that_is_said(
    process: DrawingProcess, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(f"atonce.figures.drawing_process.{name}", full)
        process.start()
        with pytest.raises(DrawingDied, match=r"cannot be started\n\s*why: Too many open files"):
            draws(process)
    draws(process)


def test_a_system_without_forks_has_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "register_at_fork")
    DrawingProcess()


def test_a_process_that_died_meanwhile_is_replaced_in_silence(process: DrawingProcess) -> None:
    process.start()
    first = process.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    draws(process)
    assert process.pid != first


def test_what_takes_too_long_is_stopped(process: DrawingProcess) -> None:
    began = time.monotonic()
    with pytest.raises(TooMuchToDraw, match=r"a drawing may take 0\.5 seconds"):
        svg(process, ENDLESS, seconds=0.5)
    assert time.monotonic() - began < 5
    draws(process)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold processes to RLIMIT_DATA")
@pytest.mark.parametrize("most", [640, 1000])  # V8 dies in its heap, or for a buffer
def test_what_takes_too_much_memory_is_stopped(process: DrawingProcess, most: int) -> None:
    with pytest.raises(TooMuchToDraw, match=f"a drawing may take {most:,} MB of memory"):
        svg(process, ENDLESS, memory=most * MIB)
    draws(process)


def test_what_the_library_refuses_is_told(process: DrawingProcess) -> None:
    with pytest.raises(FigureError, match=r"cannot be drawn[\s\S]*fix: save it as \.html"):
        process.ask("svg_to_png", svg="no picture")
    draws(process)


def test_a_process_that_has_grown_is_replaced(
    process: DrawingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = drawing_process._BEGIN.replace("import serve;", "import serve; dp._GROWN = 1;")
    monkeypatch.setattr(drawing_process, "_BEGIN", f"import json, sys; {begin}".replace(
        "from atonce", "import atonce.figures.drawing_process as dp; from atonce"
    ))  # fmt: skip
    draws(process)
    assert process.pid is None
    draws(process)


def test_what_another_process_held_is_no_growth() -> None:
    """Else it would be replaced after every figure of a large server."""
    program = (
        "from atonce.figures.drawing_process import DrawingProcess, _GROWN; large = b'x' * (_GROWN + 2**24);"
        "one = DrawingProcess(); one.ask('svg_to_png', svg='<svg xmlns=\"http://www.w3.org/2000/svg\"/>');"
        "print(one.pid is not None); one.close()"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "True\n"


def test_threads_may_share_it(process: DrawingProcess) -> None:
    texts = [f"text {number}" for number in range(8)]
    found: dict[str, str] = {}

    def draw(text: str) -> None:
        found[text] = svg(process, {**SMALL, "title": text})

    threads = [threading.Thread(target=draw, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(f">{text}<" in found[text] for text in texts)


def test_a_fork_has_a_process_of_its_own(process: DrawingProcess) -> None:
    draws(process)
    inside, outside = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            draws(process)
            os.write(outside, json.dumps(process.pid).encode())
            process.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(outside)
    pid = json.loads(os.read(inside, 1000))
    os.close(inside)
    assert pid != process.pid
    draws(process)


def test_it_ends_with_who_started_it() -> None:
    program = (
        "import os, signal; from atonce.figures.drawing_process import SHARED; SHARED.start();"
        "print(SHARED.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment)
    pid = int(ended.stdout)
    for _ in range(3000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if sys.platform == "linux" and Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return  # dead, and left to whoever is the parent now
        time.sleep(0.01)
    pytest.fail("the process is still there")


@pytest.mark.parametrize(
    ("module", "options"),
    [("json", ["-P"]), ("vl_convert", [])],  # as the command line is started, and with the folder in its path
)
def test_it_takes_no_module_from_the_working_directory(
    module: str, options: list[str], tmp_path: Path
) -> None:
    (tmp_path / f"{module}.py").write_text("open('marker', 'w')")
    program = (
        "from atonce.figures.drawing_process import SHARED;"
        "SHARED.ask('svg_to_png', svg='<svg xmlns=\"http://www.w3.org/2000/svg\"/>')"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, *options, "-c", program]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    assert not (tmp_path / "marker").exists()


def test_only_the_process_has_the_library_and_it_has_little_else() -> None:
    program = (
        "import sys, atonce.figures.figure, atonce.figures.fonts, atonce.figures.vega as vega\n"
        "from atonce.figures.drawing_process import SHARED\n"
        "assert SHARED.ask('svg_to_png', svg='<svg xmlns=\"http://www.w3.org/2000/svg\"/>')\n"
        "import pathlib\n"
        "maps = pathlib.Path(f'/proc/{SHARED.pid}/maps')\n"
        "print('vl_convert' in sys.modules, maps.exists() and 'torch' in maps.read_text())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, text=True)
    assert ended.stdout.split() == ["False", "False"], ended.stderr
