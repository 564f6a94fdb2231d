"""Gains on short and on long sentences, over test and validation sentences together, which are twice as many.

    python benchmarks/lengths.py DIR          DIR: what `atonce compare RECIPE --out DIR` wrote, seed 1

Validation chose which stage of each training was kept, by its loss; nothing was learned from it.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import contest

import atonce
from atonce.data.prepare import open_prepared
from atonce.evaluation.intervals import SystemScores
from atonce.runs.folder import RunFolder
from atonce.studies.comparison.results import LENGTHS, gain, lengths_of

METRICS = ("chrf", "bleu")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--baseline", default="seq2seq-lstm", help="what gains are over")
    chosen = parser.parse_args()
    prepared = open_prepared(chosen.folder / "data")
    pairs = [*prepared.test_pairs, *prepared.valid_pairs]
    sources = [str(pair.source) for pair in pairs]
    names = sorted(run.name.removesuffix("-seed1") for run in chosen.folder.glob("*-seed1"))
    outputs = {}
    for name in names:
        print(f"{name} translates", file=sys.stderr)
        outputs[name] = [atonce.load(chosen.folder / f"{name}-seed1", task="translation").outputs(sources)]
    _, language = RunFolder.open(chosen.folder / f"{names[0]}-seed1").recipe.data.languages
    gains: dict[str, dict[str, dict]] = {name: {} for name in names if name != chosen.baseline}
    for metric in METRICS:
        scores = SystemScores(
            outputs, [pair.target for pair in pairs], metric=metric, target_language=language, samples=1000
        )
        for name in gains:
            gains[name][metric] = asdict(gain(scores, name, chosen.baseline, lengths_of(sources)))
    if any(one["short"] is None for metrics in gains.values() for one in metrics.values()):
        sys.exit("the sentences are all short, or all long: there is nothing to compare")
    report(gains)
    long = sum(len(indices) for words, indices in lengths_of(sources) if words is LENGTHS[-1])
    print(json.dumps({"pairs": len(pairs), "long_pairs": long, "gains": gains}))


def report(gains: dict[str, dict[str, dict]]) -> None:
    """A table for people."""
    rows = [
        (name, metric, *(f"{part['value']:+.1f} ({part['low']:.1f}–{part['high']:.1f})" for part in parts))
        for name, metrics in gains.items()
        for metric, one in metrics.items()
        for parts in [[one[key] for key in ("short", "long", "more_on_long")]]
    ]
    contest.show("Gains", ("", "", "short", "long", "more on long"), rows)


if __name__ == "__main__":
    main()
