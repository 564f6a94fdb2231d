"""kill -9 at any moment, then the same again: is the end the same as undisturbed, and is nothing left over?

    python tests/campaign/kills.py                                   100 rounds of each kind
    python tests/campaign/kills.py train demo --rounds 20 --seed 7
    python tests/campaign/kills.py distill --only 13                 one round again

Every other round kills at a random moment; the others right before a file is changed, at a place drawn among
all where the undisturbed command changes one. A round may be killed several times. Faults are printed as they
are met; the exit code is 1 where there are any.
"""

import argparse
import hashlib
import importlib
import json
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests, as pytest has it

import tiny
from campaign.forked import preload, start_forked

IMPORTED = ("altair", "babel", "jinja2", *(f"atonce.studies.{name}" for name in (
    "demo", "distill", "comparison.compare", "comparison.trial",
)), "ctranslate2", "atonce.interop.ctranslate2")  # fmt: skip
"""Beside what every campaign imports before it forks. Not what is compiled: that decides where it is kept."""
MOST_ATTEMPTS = 10
"""At a round: a command may end before it is killed, as it does not take as long each time."""
EARLIER = "an earlier figure"
MOST_KILLS = 4
"""In a round."""
ADDRESSES = 1 << 40
"""Bytes of address space that a command may take: what draws reserves far more than it uses."""
LONGEST = 600.0
"""Seconds that a command may take that nobody kills."""
TRAINING = {**tiny.TRAINING, "steps": 24, "save_every": 3, "validate_every": 8}
HASHED = (
    ".safetensors", ".model", ".source", ".target", ".toml", ".bin", ".npy", "data.json", "examples.json",
    "scores.json", "test.jsonl", "valid.jsonl", "plan.json", "config.json", "shared_vocabulary.json",
    "README.md",
)  # fmt: skip
"""Endings or names of files that are the same to the byte."""
CHANGING = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link")
"""Events of Python's audit hooks, beside files that are opened to be written."""


@dataclass
class Kind:
    """Something that is killed, in a folder of its own for each round."""

    first: list[str]
    again: list[str]
    """The commands: at first, and after a kill."""
    result: str
    """The file or folder that the command makes."""
    before: Callable[[Path], None] = lambda folder: None
    """Makes what must be there at first."""
    whole: Callable[[Path], list[str]] = lambda folder: []
    """Faults of what is there right after a kill."""
    same: Callable[[Path], Any] = lambda folder: None
    """What must be as undisturbed in the end."""
    patch: Callable[[], None] = lambda: None
    """What is changed in the process that is killed, before it runs."""
    points_after: str = ""
    """Points are counted from the first change of a file that has this in its path."""
    environment: dict[str, str] = field(default_factory=dict)


def fingerprint(folder: Path) -> dict[str, Any]:
    """All names below a folder, with what must not depend on how often a training was killed."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.name in ("log.jsonl", "progress.json"):
            lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
            found[name] = [unclocked(json.loads(line)) for line in lines]
        elif path.name == "sums.json":
            found[name] = {of: len(sums) for of, sums in json.loads(path.read_text())["files"].items()}
        elif path.suffix in HASHED or path.name in HASHED:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "there"
    return found


def unclocked(entry: dict[str, Any]) -> dict[str, Any]:
    """A line of a log, or how far a training is, but for how long it took; sums are also of that."""
    return {name: value for name, value in entry.items() if name not in (*tiny._CLOCKED, "sums", "sum")}


def unsettled(folder: Path) -> list[str]:
    """Faults of runs and data below a folder when a command has ended: each opens, with one sum of a file."""
    faults = []
    for path in sorted(folder.rglob("sums.json")):
        home = str(path.parent.relative_to(folder))
        sums = json.loads(path.read_text())["files"]
        if several := [name for name, of in sums.items() if len(of) != 1 or None in of]:
            faults.append(f"{home} has not just one sum of {several}")
        try:
            open_all(path.parent)
        except Exception as error:
            faults.append(f"{home} does not open: {error}")
    return faults


def open_all(folder: Path) -> None:
    """Look at every file that has a sum, at the data and at the model."""
    from atonce import stored
    from atonce.data.prepare import open_prepared
    from atonce.decoding.load import load

    for name in stored.names(folder, ""):
        stored.check(folder, name)
    if (folder / "data.json").exists():
        open_prepared(folder)
    if (folder / "recipe.toml").exists():
        load(folder)


def names(folder: Path) -> list[str]:
    """All names below a folder but those of the campaign itself."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name not in (".stdout", ".stderr", ".points")
    )


# The kinds


def a_training(base: Path) -> Kind:
    recipe = str(tiny.write_recipe(base / "recipe.toml", training=TRAINING))
    command = ["train", recipe, "--out", "run"]
    return Kind(command, [*command, "--resume"], "run", same=lambda folder: fingerprint(folder / "run"))


def a_comparison(base: Path) -> Kind:
    recipe = str(tiny.write_recipe(base / "recipe.toml", training={**TRAINING, "steps": 8}))
    command = ["compare", recipe, "--models", "seq2seq-gru,transformer", "--weights", "60000"]
    command += ["--out", "comparison"]
    return Kind(
        command, [*command, "--resume"], "comparison", patch=fork_trials,
        same=lambda folder: fingerprint(folder / "comparison"),
    )  # fmt: skip


def fork_trials() -> None:
    """Give each trial a fork in place of a process that has to import torch first."""
    from atonce.studies.comparison import trial

    def run(command: list[str], *, stdin: int, **_: object) -> "subprocess.CompletedProcess[str]":
        said, saying = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                os.dup2(stdin, 0)
                os.dup2(saying, 1)
                os.closerange(3, 1024)  # as a program that is started has it: no lock, and not the tie's end
                sys.stdin = open(0, closefd=False)  # noqa: SIM115
                sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
                threading.Thread(target=trial._end_with_the_other, daemon=True).start()
                code = trial._main(command[4:])
                sys.stdout.flush()
            finally:
                os._exit(code)
        os.close(saying)
        with open(said, encoding="utf-8") as stream:
            text = stream.read()
        _, status = os.waitpid(pid, 0)
        return subprocess.CompletedProcess(command, os.waitstatus_to_exitcode(status), stdout=text)

    trial.subprocess.run = run  # type: ignore[assignment]


def a_distillation(base: Path) -> Kind:
    teacher = trained(base)
    command = ["distill", str(teacher), "text", "--beam", "1"]

    def few_at_once() -> None:
        from atonce.studies import distill

        distill.AT_ONCE = 30

    return Kind(
        command, command, "text", patch=few_at_once, same=lambda folder: fingerprint(folder / "text")
    )  # fmt: skip


def a_demo(base: Path) -> Kind:
    """Takes the place of an earlier one; each model learns for as long as it may, so only names are equal."""
    recipe = str(tiny.write_recipe(base / "recipe.toml"))
    command = ["demo", "--recipe", recipe, "--minutes", "0.01", "--out", "demo", "--json"]
    earlier = base / "earlier"
    earlier.mkdir()
    end(start(Kind(command, command, "demo"), command, earlier), earlier)
    old = fingerprint(earlier / "demo")

    def whole(folder: Path) -> list[str]:
        demo = folder / "demo"
        in_place = {name: what for name, what in fingerprint(demo).items() if not name.startswith(".")}
        if in_place == old or is_whole(demo / ".finished") or is_whole(demo):
            return []
        return [f"neither the old demo nor the new one is whole: {names(demo)}"]

    def is_whole(demo: Path) -> bool:
        from atonce.decoding.load import load

        if not (demo / "report.html").is_file():
            return False
        for name in ("additive-bigru", "transformer"):
            with suppress(Exception):
                load(demo / name)
                continue
            return False
        return True

    def same(folder: Path) -> Any:
        top = sorted(path.name for path in (folder / "demo").iterdir())
        return top, is_whole(folder / "demo")

    return Kind(
        command, command, "demo", whole=whole, same=same, points_after=".finished",
        before=lambda folder: shutil.copytree(earlier / "demo", folder / "demo") and None,
    )  # fmt: skip


def an_export(base: Path) -> Kind:
    command = ["export", str(trained(base)), "exported", "--to", "ctranslate2"]
    return Kind(command, command, "exported", same=lambda folder: fingerprint(folder / "exported"))


def a_figure(base: Path) -> Kind:
    """Takes the place of an earlier one. It is drawn by a process of its own, and written by this one."""
    command = ["heatmap", str(trained(base)), "3 May 2001", "--out", "map.svg"]

    def whole(folder: Path) -> list[str]:
        there = (folder / "map.svg").read_text(encoding="utf-8")
        is_whole = there == EARLIER or there.rstrip().endswith("</svg>")
        return [] if is_whole else [f"map.svg is neither the earlier one nor a new one: {there[-60:]!r}"]

    return Kind(
        command, command, "map.svg", whole=whole,
        before=lambda folder: (folder / "map.svg").write_text(EARLIER) and None,
        same=lambda folder: (folder / "map.svg").read_bytes(),
    )  # fmt: skip


def a_compilation(base: Path) -> Kind:
    run = trained(base)
    (base / "text").write_text("3 May 2001\n4 June 1999\n", encoding="utf-8")
    command = ["translate", str(run), str(base / "text"), "--fast"]

    def compile_faster() -> None:
        os.environ["NUMBA_OPT"] = "1"  # three quarters of the time; with 0, half of it cannot be kept

    return Kind(
        command, command, "cache", patch=compile_faster,
        same=lambda folder: ((folder / ".stdout").read_text(), names(folder)),
        environment={"XDG_CACHE_HOME": "cache"},
    )  # fmt: skip


KINDS = {
    "train": a_training,
    "compare": a_comparison,
    "distill": a_distillation,
    "demo": a_demo,
    "export": an_export,
    "heatmap": a_figure,
    "compile": a_compilation,
}


def trained(base: Path) -> Path:
    """A run to use."""
    recipe = str(tiny.write_recipe(base / "recipe.toml"))
    command = ["train", recipe, "--out", "run"]
    end(start(Kind(command, command, "run"), command, base), base)
    return base / "run"


# Starting, killing, looking


def start(kind: Kind, command: list[str], folder: Path, *, killed_at: int | None = None) -> int:
    """Start a command; it counts the changes it makes to files below `folder`, and may be killed at one.

    Changes of its forks are counted with its own; killed is the one that makes the change.
    """
    counted = memoryview(mmap.mmap(-1, 8)).cast("q")  # shared with forks

    def run() -> None:
        began = not kind.points_after

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal began
            path = changed(event, arguments)
            if path is None or not os.path.abspath(path).startswith(f"{folder}{os.sep}"):
                return
            began = began or kind.points_after in path
            counted[0] += began
            if counted[0] == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)

        kind.patch()
        from atonce.cli.main import main

        sys.addaudithook(hook)
        try:
            main()
        finally:
            points, counted[0] = counted[0], -1_000_000
            (folder / ".points").write_text(str(points))

    environment = {name: str(folder / value) for name, value in kind.environment.items()}
    return start_forked(command, folder, memory=ADDRESSES, environment=environment, run=run)


def changed(event: str, arguments: tuple[Any, ...]) -> str | None:
    """The path that an audit event is about to change."""
    if event == "open":
        path, _, flags = arguments
        if not isinstance(path, str | bytes) or not isinstance(flags, int):
            return None
        return os.fsdecode(path) if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) else None
    return os.fsdecode(arguments[0]) if event in CHANGING and isinstance(arguments[0], str | bytes) else None


def end(pid: int, folder: Path) -> None:
    """Wait until a command has done what it should. Raises RuntimeError if it has not."""
    code = wait(pid, LONGEST)
    if code != 0:
        raise RuntimeError(f"exit code {code}: {(folder / '.stderr').read_text()[-2000:]}")


def wait(pid: int, seconds: float) -> int | None:
    """The exit code, negative for a signal; None if it takes longer: then it goes on."""
    until = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(0.002)


def kill(pid: int, *, group: bool) -> None:
    """kill -9 of one process, or of those that it started, too."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL) if group else os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@dataclass
class Undisturbed:
    """How a kind goes when nobody kills it."""

    same: Any
    names: list[str]
    seconds: float
    points: int


def undisturbed(kind: Kind, folder: Path) -> Undisturbed:
    folder.mkdir()
    kind.before(folder)
    began = time.monotonic()
    end(start(kind, kind.first, folder), folder)
    took = time.monotonic() - began
    points = int((folder / ".points").read_text())
    found = Undisturbed(kind.same(folder), names(folder), took, points)
    shutil.rmtree(folder)
    return found


@dataclass
class Round:
    """What came of one."""

    kills: list[str]
    left: bool
    """Whether a kill left something half-written."""
    faults: list[str]


def play(kind: Kind, folder: Path, whole: Undisturbed, draw: random.Random, *, at_points: bool) -> Round:
    """Kill a command, once at least, and bring it to its end."""
    folder.mkdir()
    kind.before(folder)
    kills: list[str] = []
    faults: list[str] = []
    left = False
    command = kind.first
    for number in range(MOST_KILLS + 1):
        point = draw.randint(1, whole.points) if at_points and number == 0 else None
        disturb = number == 0 or (number < MOST_KILLS and draw.random() < 0.3)
        moment = draw.uniform(0, whole.seconds) if disturb and point is None else LONGEST
        pid = start(kind, command, folder, killed_at=point)
        code = wait(pid, moment)
        if code is None and moment < LONGEST:
            kill(pid, group=draw.random() < 0.5)
            code = -signal.SIGKILL
            kills.append(f"after {moment:.2f} s")
        elif code is None:
            kill(pid, group=True)
            return Round(kills, left, [*faults, "it did not end"])
        said = (folder / ".stderr").read_text()
        fork_was_killed = code == 2 and point is not None and "signal 9 ended its process" in said
        if point is not None and (code == -signal.SIGKILL or fork_was_killed):
            kills.append(f"{'a process of it ' if fork_was_killed else ''}at change {point}")
        if code == -signal.SIGKILL or fork_was_killed:
            left = left or any(".partial-" in name for name in names(folder))
            faults += kind.whole(folder)
            command = kind.again if (folder / kind.result).exists() else kind.first
            continue
        finished = code == 0 or (number > 0 and code == 2 and "is there already" in said)
        if not finished:
            faults.append(f"exit code {code}: {said[-600:]}")
        break
    faults += unsettled(folder)
    if not faults and kind.same(folder) != whole.same:
        faults.append(f"the end is another: {unlike(kind.same(folder), whole.same)}")
    if not faults and names(folder) != whole.names and kind.result != "demo":
        faults.append(f"left over or missing: {set(names(folder)) ^ set(whole.names)}")
    if over := [name for name in names(folder) if is_litter(name)]:
        faults.append(f"left over: {over}")
    shutil.rmtree(folder)
    return Round(kills, left, faults)


def is_litter(name: str) -> bool:
    """Whether a file is nobody's: hidden, or in the middle of being written."""
    return any(part.startswith(".") or ".tmp" in part or ".partial-" in part for part in Path(name).parts)


def unlike(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
    return (one, other)


def rounds(name: str, numbers: list[int], seed: int, base: Path) -> Iterator[tuple[int, Round]]:
    """Play the rounds of these numbers. Each is a function of kind, seed and number, but for the clock."""
    base.mkdir()
    kind = KINDS[name](base)
    whole = undisturbed(kind, base / "round")  # the same: recipes name paths
    print(f"{name}: undisturbed {whole.seconds:.1f} s, {whole.points} changes of files", flush=True)
    for number in numbers:
        for attempt in range(MOST_ATTEMPTS):
            draw = random.Random(f"{name}-{seed}-{number}-{attempt}")
            one = play(kind, base / "round", whole, draw, at_points=bool(number % 2))
            if one.kills or one.faults:
                break
        else:
            one = Round([], left=False, faults=["it ended each time before it was killed"])
        yield number, one


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[[], *KINDS], default=[], help="all, unless named")
    parser.add_argument("--rounds", type=int, default=100, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of one round")
    given = parser.parse_args()
    preload()
    for module in IMPORTED:
        importlib.import_module(module)
    wrong = 0
    for name in given.kinds or KINDS:
        numbers = list(range(given.rounds)) if given.only is None else [given.only]
        played: list[Round] = []
        with tempfile.TemporaryDirectory() as folder:
            for number, one in rounds(name, numbers, given.seed, Path(folder).resolve() / name):
                played.append(one)
                print("F" if one.faults else ".", end="", file=sys.stderr, flush=True)
                if one.faults:
                    print(json.dumps({"kind": name, "round": number, **vars(one)}), flush=True)
        right = sum(not one.faults for one in played)
        wrong += len(played) - right
        kills = sum(len(one.kills) for one in played)
        left = sum(one.left for one in played)
        print(
            f"{name}: {right} of {len(played)} rounds right; {kills} kills, {left} rounds in which "
            "something half-written was left until the next command",
            flush=True,
        )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
