"""Odd, damaged and hostile input by the thousand: nothing may end in a traceback, in silence, or never.

    python tests/campaign/run.py                                     every area, 10,000 cases in all
    python tests/campaign/run.py runs requests --cases 500 --seed 7 --processes 2
    python tests/campaign/run.py recipes --only 4711                 one case again

Faults are printed as they are met, the count of each at the end; the exit code is 1 where there are any.
Another seed makes other cases.
"""

import argparse
import importlib
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests, as pytest has it

from campaign.forked import preload
from campaign.outcome import Area, Outcome

SHARES = {"recipes": 0.2, "options": 0.15, "corpora": 0.1, "runs": 0.25, "requests": 0.2, "pictures": 0.1}
"""The areas, and which part of all cases each has."""


def area(name: str) -> Area:
    """The module that has the cases."""
    return cast(Area, importlib.import_module(f"campaign.{name}"))


def tally(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How often each verdict was given, the most frequent first."""
    return dict(Counter(outcome.verdict for outcome in outcomes).most_common())


def run_area(name: str, numbers: Sequence[int], *, seed: int, processes: int) -> list[Outcome]:
    """Run the cases, spread over processes. Those of one that is killed are missing."""
    context = multiprocessing.get_context("fork")

    def work(mine: Sequence[int], sender: Connection) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for outcome in area(name).run(Path(folder), seed, mine):
                sender.send(outcome)

    workers = {}
    for first in range(processes):
        receiver, sender = context.Pipe(duplex=False)
        worker = context.Process(target=work, args=(numbers[first::processes], sender))
        worker.start()
        sender.close()
        workers[receiver] = worker
    outcomes: list[Outcome] = []
    while workers:
        for receiver in wait(list(workers), timeout=1.0):
            try:
                outcome = receiver.recv()
            except (EOFError, OSError):  # it has ended
                workers.pop(receiver).join()
                continue
            outcomes.append(outcome)
            if not outcome.fine:
                print(
                    json.dumps({"area": name, "seed": seed, **vars(outcome)}, ensure_ascii=False), flush=True
                )
        for receiver, worker in [*workers.items()]:  # what it started may live on, with the other end
            if not worker.is_alive() and not receiver.poll():
                del workers[receiver]
    return outcomes


def main() -> None:
    """Run the campaign."""
    # Python has put this folder there, too: libraries would import `requests` from it.
    sys.path.remove(str(Path(__file__).parent))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("areas", nargs="*", choices=[[], *SHARES], default=[], help="all, unless named")
    parser.add_argument("--cases", type=int, default=10_000, help="in all areas together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", type=int, help="the number of one case")
    given = parser.parse_args()
    preload()
    names = given.areas or list(SHARES)
    whole = sum(SHARES[name] for name in names)
    faults = 0
    for name in names:
        numbers = range(round(given.cases * SHARES[name] / whole)) if given.only is None else [given.only]
        began = time.monotonic()
        outcomes = run_area(name, numbers, seed=given.seed, processes=min(given.processes, len(numbers)))
        wrong = sum(not outcome.fine for outcome in outcomes) + (len(numbers) - len(outcomes))
        faults += wrong
        took = time.monotonic() - began
        counts = ", ".join(f"{verdict} {count:,}" for verdict, count in tally(outcomes).items())
        print(
            f"{name}: {len(outcomes):,} of {len(numbers):,} cases in {took:.0f} s, {wrong} faults: {counts}"
        )
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
