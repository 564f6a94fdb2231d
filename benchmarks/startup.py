"""How long one waits: for help, and for the first translation of a process that has just been started.

    python benchmarks/startup.py RUN                       ours and CTranslate2 with the same weights
    python benchmarks/startup.py RUN --with joeynmt=PYTHON --with eole=PYTHON

All programs are started in turn, several times, after one time that does not count: what they read from disk
is in memory then. Each translates one short sentence greedily, JoeyNMT and eole with untrained models of
bench-small, stopped after ten tokens. `import torch` is what ours cannot go below.

Needs `pip install 'atonce[export]'`.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import contest

from atonce.interop.ctranslate2 import export
from atonce.studies.environment import machine
from training import MODULES, prepare_text

SENTENCE = "Where did you buy this book?"
Command = list[str]


@dataclass
class Program:
    """A command line that is run again and again; a line of text goes in."""

    command: Command
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Once. Raises RuntimeError with what it said, if it fails or its output is empty."""
        began, cpu = time.perf_counter(), _cpu_of_children()
        done = subprocess.run(
            self.command, input=SENTENCE + "\n", capture_output=True, text=True, check=False
        )
        self.seconds.append(time.perf_counter() - began)
        self.cpu_seconds.append(_cpu_of_children() - cpu)
        if done.returncode or not done.stdout + done.stderr:
            said = done.stderr or "nothing"
            raise RuntimeError(f"{' '.join(self.command)}: code {done.returncode}, and it said:\n{said}")


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def beside(python: str, name: str) -> str:
    """A program that is installed for a python."""
    return str(Path(python).parent / name)


def joeynmt(python: str, folder: Path) -> tuple[Command, Command]:
    _make(python, "joeynmt_untrained.py", folder)
    program = [python, "-m", "joeynmt"]
    return [*program, "--help"], [*program, "translate", str(folder / "joeynmt.yaml")]


def eole(python: str, folder: Path) -> tuple[Command, Command]:
    _make(python, "eole_untrained.py", folder, SENTENCE)
    program = beside(python, "eole")
    return [program, "--help"], [program, "predict", "--config", str(folder / "eole-predict.json")]


def _make(python: str, script: str, *arguments: object) -> None:
    command = [python, str(contest.WORKERS / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{script}: {done.stderr}")


PEERS: dict[str, Callable[[str, Path], tuple[Command, Command]]] = {"joeynmt": joeynmt, "eole": eole}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="of a Transformer that translates English")
    parser.add_argument("--with", dest="peers", action="append", default=[], metavar="PEER=PYTHON")
    parser.add_argument("--recipe", default="tatoeba", help="whose text the vocabulary of the peers is from")
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    try:
        peers = contest.chosen_peers(chosen.peers, {name: MODULES["transformer"][name] for name in PEERS})
    except ValueError as error:
        parser.error(str(error))
    ours = beside(sys.executable, "atonce")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        export(chosen.run, folder / "ctranslate2")
        worker = str(contest.WORKERS / "ctranslate2_once.py")
        helping = {"atonce": [ours, "--help"]}
        translating = {
            "atonce": [ours, "translate", str(chosen.run), "--beam", "1"],
            "import torch": [sys.executable, "-c", "import torch; print(torch.__version__)"],
            "ctranslate2": [sys.executable, worker, str(folder / "ctranslate2")],
        }
        if peers:
            prepare_text(folder, chosen.recipe)
        for name, python in peers.items():
            helping[name], translating[name] = PEERS[name](python, folder)
        results = {
            "help": measure("Help", helping, chosen.rounds),
            "first translation": measure("First translation of a process", translating, chosen.rounds),
        }
    print(json.dumps({"machine": machine(), "sentence": SENTENCE, "settings": results}))


def measure(title: str, commands: Mapping[str, Command], rounds: int) -> object:
    """A table for people, and what goes into the JSON."""
    for command in commands.values():
        Program(command).run()
    programs = {name: Program(command) for name, command in commands.items()}
    for number in range(rounds):
        # Forwards and backwards by turns: nobody always comes after the same one.
        for one in list(programs.values())[:: 1 if number % 2 == 0 else -1]:
            one.run()
    rows, results = [], {}
    for name, one in programs.items():
        ratio = contest.ratios(one.seconds, programs["atonce"].seconds)
        seconds, cpu = statistics.median(one.seconds), statistics.median(one.cpu_seconds)
        rows.append(
            (name, f"{seconds:.2f}", f"{cpu:.2f}", f"{ratio[0]:.2f} × ({ratio[1]:.2f}–{ratio[2]:.2f})")
        )
        results[name] = {
            "seconds": one.seconds, "cpu_seconds": one.cpu_seconds, "median_seconds": seconds,
            "atonce_is_faster": ratio,
        }  # fmt: skip
    header = ("", "seconds", "CPU seconds", "atonce is faster")
    contest.show(f"{title}: {machine()}, {rounds} rounds", header, rows)
    return results


if __name__ == "__main__":
    main()
