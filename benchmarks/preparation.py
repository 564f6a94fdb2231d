"""Preparing a large corpus: pairs a second and peak memory of each stage, from text to stored examples.

    python benchmarks/preparation.py                          a million pairs, made of the recipe's
    python benchmarks/preparation.py --pairs 10000000         ten million: 1.4 GB of text, some minutes
    python benchmarks/preparation.py --updates 30             and so many updates of the default model on them

A pair is two random pairs of the recipe's training text, one after the other: texts that repeat themselves as
little as a large corpus does, in words that are few for its size. The peak is that of the process, torch and
files that it has mapped included; it starts no others.
"""

import argparse
import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import contest

from atonce.data import prepare_pairs
from atonce.data.corpora.registry import open_corpus
from atonce.data.prepare import prepare
from atonce.runs.recipe import Recipe, load
from atonce.studies.environment import machine, peak_memory
from atonce.training.train import train


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="tatoeba", help="whose text is repeated")
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--updates", type=int, default=0)
    parser.add_argument("--corpus", type=Path, help="where its files `source` and `target` are, or are to be")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        corpus = chosen.corpus or Path(temporary) / "corpus"
        if not (corpus / "target").exists():
            write_corpus(corpus, load(chosen.recipe), chosen.pairs)
        recipe = recipe_of(corpus, chosen.updates)
        results = {"prepare": in_a_process(prepared, recipe, Path(temporary) / "prepared")}
        if chosen.updates:
            results["prepare and train"] = in_a_process(trained, recipe, Path(temporary) / "run")
    rows = [
        (
            name, f"{one['seconds']:,.1f}", f"{one['cpu_seconds']:,.1f}",
            f"{result['pairs'] / one['seconds']:,.0f}", f"{one['peak_bytes'] / 2**20:,.0f} MiB",
        )
        for work, result in results.items()
        for name, one in {**result["stages"], work: result}.items()
    ]  # fmt: skip
    contest.show(
        f"{results['prepare']['pairs']:,} pairs: {machine()}",
        ("", "seconds", "CPU seconds", "pairs/s", "peak memory"), rows,
    )  # fmt: skip
    print(json.dumps({"machine": machine(), **results}))


def write_corpus(folder: Path, recipe: Recipe, pairs: int) -> None:
    some = list(open_corpus(recipe.data, quiet=True).train())
    draw = random.Random(1)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "source").open("w") as source, (folder / "target").open("w") as target:
        for _ in range(pairs):
            first, second = draw.choice(some), draw.choice(some)
            print(first.source, second.source, file=source)
            print(first.target, second.target, file=target)


def recipe_of(corpus: Path, updates: int) -> Recipe:
    data = {"kind": "files", "source": str(corpus / "source"), "target": str(corpus / "target")}
    training = {"steps": max(1, updates), "validation_sentences": 1}
    return Recipe.parse({"data": data, "training": training}, origin="the benchmark")


def in_a_process(work: Any, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """What the work takes in a process of its own, its start not counted."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, (work, recipe, folder))


def measured(work: Any, recipe: Recipe, folder: Path) -> dict[str, Any]:
    stages: dict[str, dict[str, float]] = {}

    @contextmanager
    def stage(what: str, **_: object) -> Iterator[Callable[[int], None]]:
        """In the place of a progress bar: notes down what was done while it would have been there."""
        wall, cpu = time.perf_counter(), time.process_time()
        forget_peak()
        yield lambda done: None
        seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        stages[what] = {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak_memory() or 0}

    prepare_pairs.progress = stage
    with stage("all"):
        pairs = work(recipe, folder)
    whole = stages.pop("all")
    peak = max(one["peak_bytes"] for one in (whole, *stages.values()))
    return {"pairs": pairs, **whole, "peak_bytes": peak, "stages": stages}


def forget_peak() -> None:
    """From here on, the peak is that of what comes. Elsewhere than on Linux it counts all before, too."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def prepared(recipe: Recipe, folder: Path) -> int:
    return int(prepare(recipe.data, recipe.vocabulary, folder, quiet=True).report["pairs_read"])


def trained(recipe: Recipe, folder: Path) -> int:
    run = train(recipe, folder, quiet=True)
    return int(json.loads((run.path / "data.json").read_text())["pairs_read"])


if __name__ == "__main__":
    main()
