"""Quality against training time: ours as its recipe says, and JoeyNMT, one after another on the same text.

    python benchmarks/time_to_quality.py --joeynmt PYTHON
    python benchmarks/time_to_quality.py --joeynmt PYTHON --minutes 5 --sentences 100

The time is that of training steps alone: clocks stand while test sentences are translated (greedily, the same
for both) or weights are stored. Ours learns on a schedule that ends with the minutes and is judged by the
average of its weights, as it is used. JoeyNMT: 3 + 3 layers, width 256, token batches of 2048, Adam with
warm-up and inverse square root; the same pieces.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import contest
from training import VOCAB, prepare_text, write_lines

from atonce.data.prepare import open_prepared
from atonce.evaluation.translation import sacrebleu_metrics
from atonce.models.device import choose_device
from atonce.runs.recipe import load
from atonce.studies.machine import machine
from atonce.training import train as training
from atonce.training.budget import VALIDATION_SHARE

SHARES = (1 / 15, 1.5 / 15, 3 / 15, 5 / 15, 10 / 15, 1.0)
"""Of the minutes, where both are looked at: of 15 the 1st, 1.5th, 3rd, 5th, 10th and 15th."""

Point = dict[str, float]


def ours(name: str, folder: Path, minutes: float, texts: list[str]) -> Iterator[tuple[Point, list[str]]]:
    """Train as `atonce train` does, without validation, and look at the average of the weights now and then.

    How many steps the minutes are good for is planned after the first ones: the end may be a little off.
    """
    planned = minutes / (1 - VALIDATION_SHARE)  # it would keep some for validation
    settings = [f"vocabulary.size={VOCAB}", f"training.minutes={planned}", "training.validate_every=1000000000"]
    run = training._open_run(load(name, settings), folder, resume=False)
    looks: list[tuple[Point, list[str]]] = []
    waiting = [60 * minutes * share for share in SHARES[:-1]]
    stood = 0.0  # seconds that the looks took

    def watch(report: training.Report) -> None:
        nonlocal stood
        began = time.perf_counter()
        seconds, step = report.update.seconds - stood, report.update.step
        if step == report.planned_steps or (waiting and seconds >= waiting[0]):
            while waiting and seconds >= waiting[0]:
                waiting.pop(0)
            with sitting.learner.average.in_place_of_weights(sitting.learner.model):
                looks.append(({"seconds": seconds, "steps": step}, sitting.system.outputs(texts, beam=1)))
            print(f"atonce: {seconds:.0f} s", file=sys.stderr, flush=True)
        stood += time.perf_counter() - began

    # `train` itself, in two lines: its watcher is not told the weights.
    sitting = training._Training(run, training._prepared(run, quiet=True), choose_device("cpu"), watch)
    sitting.run_to_end()
    yield from looks


def joeynmt(python: str, folder: Path, times: list[float]) -> Iterator[tuple[Point, list[str]]]:
    """Train in its own environment; it translates at these seconds. Raises RuntimeError."""
    worker = str(contest.WORKERS / "joeynmt_quality.py")
    command = [python, worker, str(folder), ",".join(map(str, times))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            look = json.loads(line)
            print(f"joeynmt: {look['seconds']:.0f} s", file=sys.stderr, flush=True)
            yield {"seconds": look["seconds"], "steps": look["steps"]}, look["texts"]
    if process.returncode:
        raise RuntimeError(f"joeynmt ended with code {process.returncode}: see what it said above")


def reached(points: list[Point], chrf: float) -> float | None:
    """Seconds after which a chrF was reached, on a straight line between two looks; None if it never was.

    Where the first look is above it already, that look's seconds: it was reached before.
    """
    if points[0]["chrf"] >= chrf:
        return points[0]["seconds"]
    for before, after in pairwise(points):
        if after["chrf"] >= chrf:
            share = (chrf - before["chrf"]) / (after["chrf"] - before["chrf"])
            return before["seconds"] + share * (after["seconds"] - before["seconds"])
    return None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--joeynmt", required=True, metavar="PYTHON", help="of the environment it is in")
    parser.add_argument("--recipe", default="tatoeba")
    parser.add_argument("--minutes", type=float, default=15, help="that each learns")
    parser.add_argument("--sentences", type=int, default=300, help="of the test set, the first ones")
    chosen = parser.parse_args()
    if missing := contest.missing(chosen.joeynmt, "joeynmt"):
        parser.error(f"joeynmt: {missing}; benchmarks/README.md says how to install it")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare_text(folder, chosen.recipe)
        pairs = open_prepared(folder).test_pairs[: chosen.sentences]
        texts, references = [pair.source for pair in pairs], [pair.target for pair in pairs]
        write_lines(folder / "test.src", texts)

        def scored(looks: Iterator[tuple[Point, list[str]]]) -> list[Point]:
            metrics = sacrebleu_metrics(force=True)
            return [
                point
                | {name: metrics[name].corpus_score(found, [references]).score for name in ("chrf", "bleu")}
                for point, found in looks
            ]

        results = {"atonce": scored(ours(chosen.recipe, folder / "run", chosen.minutes, texts))}
        times = [60 * chosen.minutes * share for share in SHARES[:-1]]
        times.append(results["atonce"][-1]["seconds"])  # neither gets more time than the other
        results["joeynmt"] = scored(joeynmt(chosen.joeynmt, folder, times))
    report(results, len(pairs))


def report(results: dict[str, list[Point]], sentences: int) -> None:
    """A table for people, and JSON."""
    rows = [
        (
            name, f"{point['seconds'] / 60:.2f}", f"{point['steps']:,}", f"{point['chrf']:.1f}",
            f"{point['bleu']:.1f}",
        )
        for name, points in results.items()
        for point in points
    ]  # fmt: skip
    contest.show(
        f"Quality against training time, {sentences} test sentences, greedy: {machine()}",
        ("", "minutes", "steps", "chrF", "BLEU"), rows,
    )  # fmt: skip
    mine, theirs = results["atonce"][-1], results["joeynmt"][-1]
    seconds = reached(results["atonce"], theirs["chrf"])
    derived = {
        "joeynmt_final_chrf": theirs["chrf"], "atonce_reached_it_after_seconds": seconds,
        "joeynmt_seconds": theirs["seconds"],
        "atonce_is_faster": seconds and theirs["seconds"] / seconds,
        "chrf_difference_at_end": mine["chrf"] - theirs["chrf"],
        "bleu_difference_at_end": mine["bleu"] - theirs["bleu"],
    }  # fmt: skip
    when = "never" if seconds is None else f"after {seconds / 60:.2f} minutes"
    print(
        f"atonce reached JoeyNMT's final chrF {when} (JoeyNMT: {theirs['seconds'] / 60:.2f}); at the end "
        f"{derived['chrf_difference_at_end']:+.1f} chrF, {derived['bleu_difference_at_end']:+.1f} BLEU",
        file=sys.stderr,
    )
    print(json.dumps({"machine": machine(), "sentences": sentences, "points": results} | derived))


if __name__ == "__main__":
    main()
