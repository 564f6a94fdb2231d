"""How long threads should wait for one another in a busy loop: libgomp's GOMP_SPINCOUNT, in turn.

    python benchmarks/spin.py                                  on idle cores
    python benchmarks/spin.py --busy 2 --model rnn-128         beside two that compute without an end

What is timed is an update of training.py's models. The last count is what the others are compared with:
300,000 is libgomp's own, 10,000 what `atonce/__init__.py` sets.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import contest
from contest import Contestant

from atonce.studies.environment import machine
from training import prepare_text

COUNTS = ("1000", "10000", "300000")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=["transformer", "rnn", "rnn-128"], default="transformer")
    parser.add_argument("--busy", type=int, default=0, metavar="PROCESSES")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3)
    chosen = parser.parse_args()
    contestants = []
    with tempfile.TemporaryDirectory() as folder:
        prepare_text(Path(folder), "tatoeba")
        for count in COUNTS:
            os.environ["GOMP_SPINCOUNT"] = count
            contestants.append(
                Contestant.start(count, sys.executable, "atonce_training.py", folder, chosen.model)
            )
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(chosen.busy)]
        try:
            contest.race(contestants, dict.fromkeys(COUNTS, chosen.steps), chosen.rounds)
        finally:
            for other in others:
                other.kill()
    rows, results = [], {}
    for one in contestants:
        one.stop()
        rates = one.rates("target")
        ratio = contest.ratios(rates, contestants[-1].rates("target"))
        busy = sum(done["cpu_seconds"] for done in one.rounds) / sum(done["seconds"] for done in one.rounds)
        results[one.name] = {"target_tokens_per_second": rates, "by_the_last": ratio, "cores": busy}
        shown = f"{ratio[0]:.2f} × ({ratio[1]:.2f}–{ratio[2]:.2f})"
        rows.append((one.name, f"{statistics.median(rates):,.0f}", f"{busy:.2f}", shown))
    header = ("GOMP_SPINCOUNT", "target tokens/s", "cores in use", f"by {COUNTS[-1]}")
    contest.show(f"{chosen.model}, {chosen.busy} others: {machine()}", header, rows)
    print(json.dumps({"machine": machine(), **vars(chosen), "counts": results}))


if __name__ == "__main__":
    main()
