"""Contests: all in turn on the same machine in the same minutes, so that their ratios can be trusted."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
WORKERS = ROOT / "benchmarks/workers"


def environment_of(checkout: Path) -> Mapping[str, str]:
    """In which `import atonce` finds that of a checkout."""
    return os.environ if checkout == ROOT else {**os.environ, "PYTHONPATH": str(checkout / "src")}


@dataclass
class Contestant:
    """A process that makes steps when told to, and what it did each time."""

    name: str
    process: "subprocess.Popen[str]"
    about: str = ""
    rounds: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def start(
        cls, name: str, python: str, script: str, *arguments: str, checkout: Path = ROOT
    ) -> "Contestant":
        """Start `workers/script` with this python, and wait until it is ready. Raises RuntimeError.

        `checkout`: whose script, and whose atonce.
        """
        command = [python, str(checkout / "benchmarks/workers" / script), *arguments]
        # Threads wait as everybody's do. Told to sleep (OMP_WAIT_POLICY=PASSIVE), small operations on two
        # threads take three times as long here: nobody would run them so.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment_of(checkout)
        )
        contestant = cls(name, process)
        contestant.about = contestant._hear()["ready"]
        return contestant

    def run(self, steps: int) -> None:
        """Let it make so many steps."""
        assert self.process.stdin is not None
        print(steps, file=self.process.stdin, flush=True)
        self.rounds.append(self._hear())

    def stop(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def rates(self, what: str, per: str = "seconds") -> list[float]:
        """So much of something per second, round by round."""
        return [one[what] / one[per] for one in self.rounds]

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with code {self.process.wait()}: see what it said above")
        heard: dict[str, Any] = json.loads(line)
        return heard


def chosen_peers(given: Sequence[str], modules: Mapping[str, str]) -> dict[str, str]:
    """The python of each peer, from `PEER=PYTHON` or `PEER`, which is for this python.

    `modules`: what must be there to import, for each peer there is. Raises ValueError, in words.
    """
    pythons = {name: python or sys.executable for name, _, python in (one.partition("=") for one in given)}
    for name, python in pythons.items():
        if name not in modules:
            raise ValueError(f"no peer {name!r} here: there are {', '.join(modules)}")
        if missing := _missing(python, modules[name]):
            raise ValueError(f"{name}: {missing}; benchmarks/README.md says how to install it")
    return pythons


def _missing(python: str, module: str) -> str:
    """What keeps this python from importing the module, in words; nothing if nothing does."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    try:
        found = subprocess.run([python, "-c", code], check=False).returncode == 0
    except OSError as error:
        return f"{python} does not run ({error.strerror})"
    return "" if found else f"{python} has no {module}"


def peak_gflops(seconds: float = 0.5) -> float:
    """What the machine's own matrix product reaches in this minute: float32, 1024 × 1024 × 1024, median."""
    a, b = torch.randn(2, 1024, 1024)
    times: list[float] = []
    with torch.inference_mode():
        for _ in range(3):
            a @ b
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            a @ b
            times.append(time.perf_counter() - start)
    return 2 * 1024**3 / statistics.median(times) / 1e9


def race(contestants: Sequence[Contestant], steps: Mapping[str, int], rounds: int) -> list[float]:
    """Let them run in turn, so many steps each. Gives the machine's peak before each round, in GFLOP/s."""
    peaks = []
    for number in range(rounds):
        peaks.append(peak_gflops())
        time.sleep(0.5)  # until threads that wait in vain have gone to sleep
        # Forwards and backwards by turns: nobody always comes after the same one.
        for one in contestants if number % 2 == 0 else reversed(contestants):
            one.run(steps[one.name])
        print(f"round {number + 1} of {rounds}: {peaks[-1]:.0f} GFLOP/s", file=sys.stderr, flush=True)
    return peaks


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Ours by theirs: the median over the rounds, the least and the greatest."""
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(each), min(each), max(each)


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard error; the JSON goes to standard output."""
    table = Table(box=None)
    for place, column in enumerate(header):
        table.add_column(column, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    Console(stderr=True, width=140).print(title, table, sep="\n", highlight=False)
