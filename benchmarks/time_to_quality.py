"""How soon a translator is good: chrF and BLEU by minutes of training, ours and JoeyNMT's, in turn.

    python benchmarks/time_to_quality.py --joeynmt PYTHON                  15 minutes each
    python benchmarks/time_to_quality.py --joeynmt PYTHON --minutes 5

Each learns as its users would have it: ours by the recipe as it is, JoeyNMT with a Transformer of 3 + 3
layers, 256 wide, on the same text in the same tokens. Both translate the same test sentences greedily; while
they do, the clock of the training stands still, and so it does while data are prepared.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import contest
import sacrebleu

from atonce.data.prepare import open_prepared
from atonce.studies.environment import machine
from training import prepare_text

POINTS = (0.5, 1, 1.5, 2, 3, 5, 7, 10, 15)
"""Minutes."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--joeynmt", metavar="PYTHON", required=True, help="where it is installed")
    parser.add_argument("--recipe", default="tatoeba")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--sentences", type=int, default=300, help="of the test text")
    chosen = parser.parse_args()
    try:
        contest.chosen_peers([f"joeynmt={chosen.joeynmt}"], {"joeynmt": "joeynmt"})
    except ValueError as error:
        parser.error(str(error))
    points = [one for one in POINTS if one < chosen.minutes] + [chosen.minutes]
    curves, peaks = {}, []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare_text(folder, chosen.recipe)
        pairs = open_prepared(folder).test_pairs[: chosen.sentences]
        for name, lines in (("src", [p.source for p in pairs]), ("tgt", [p.target for p in pairs])):
            (folder / f"few.{name}").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for name, python in (("joeynmt", chosen.joeynmt), ("atonce", sys.executable)):
            print(f"{name} trains for {chosen.minutes:g} minutes", file=sys.stderr)
            peaks.append(contest.peak_gflops())
            script = contest.WORKERS / f"{name}_quality.py"
            done = subprocess.run(
                [python, str(script), str(folder), chosen.recipe, *map(str, points)],
                stdout=subprocess.PIPE, text=True, check=True,
            )  # fmt: skip
            curves[name] = [scored(json.loads(line), pairs) for line in done.stdout.splitlines()]
    report(curves, peaks, len(pairs))


def scored(found: dict, pairs: list) -> dict[str, float]:
    references = [[pair.target for pair in pairs]]
    return {
        "minutes": found["minutes"],
        "steps": found["steps"],
        "chrf": sacrebleu.corpus_chrf(found["outputs"], references).score,
        "bleu": sacrebleu.corpus_bleu(found["outputs"], references).score,
    }


def report(curves: dict[str, list[dict[str, float]]], peaks: list[float], sentences: int) -> None:
    """A table for people, and JSON."""
    rows = [
        (name, f"{one['minutes']:.2f}", f"{one['steps']:,}", f"{one['chrf']:.1f}", f"{one['bleu']:.1f}")
        for name, curve in curves.items()
        for one in curve
    ]
    contest.show(f"By minutes of training: {machine()}", ("", "minutes", "steps", "chrF", "BLEU"), rows)
    theirs, ours = curves["joeynmt"][-1], curves["atonce"]
    reached = [one["minutes"] for one in ours if one["chrf"] >= theirs["chrf"]]
    found = {
        "reached_after_minutes": reached[0] if reached else None,
        "sooner": theirs["minutes"] / reached[0] if reached else None,
        "chrf_above": ours[-1]["chrf"] - theirs["chrf"],
    }
    when = f"at {reached[0]:.2f} minutes, {found['sooner']:.1f} times sooner" if reached else "never"
    print(
        f"JoeyNMT's last chrF was seen from ours {when}; at the end ours is {found['chrf_above']:+.1f} above",
        file=sys.stderr,
    )
    common = {"machine": machine(), "peak_gflops": peaks, "sentences": sentences}
    print(json.dumps({**common, "curves": curves, **found}))


if __name__ == "__main__":
    main()
