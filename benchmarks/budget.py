"""Whether a training of so many minutes takes them, on a quiet machine and beside other work.

Three trainings of the same recipe: quiet; beside other work in the first third; beside it in the last. The
other work is a process for each core that multiplies matrices. Prints minutes taken, updates made, the score
on the validation text, and, as the machine may be busy anyway, the machine's own matrix product before each.
JSON on standard output. Exits with 1 if a training took 5 % more or less than its minutes.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contest import peak_gflops, show

from atonce.data.prepare import prepare
from atonce.runs import recipe as recipes
from atonce.runs.folder import RunFolder
from atonce.training.callbacks import OnStep, TrainingEvent, progress_bar
from atonce.training.train import train

PARTS = {"quiet": None, "busy in the first third": (0.0, 1 / 3), "busy in the last third": (2 / 3, 1.0)}
TOLERANCE = 0.05


def multiply() -> None:
    """Keep one core busy."""
    import torch

    torch.set_num_threads(1)
    one = torch.randn(1024, 1024)
    while True:
        one @ one


@contextmanager
def other_work(start: float, stop: float) -> Iterator[None]:
    """Within the block, other work from one second to another."""
    processes = [
        multiprocessing.get_context("spawn").Process(target=multiply, daemon=True)
        for _ in range(os.cpu_count() or 1)
    ]
    over = threading.Event()

    def work() -> None:
        if not over.wait(start):
            for process in processes:
                process.start()
            over.wait(stop - start)
            for process in processes:
                process.kill()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def trained(
    recipe: recipes.Recipe, data: Path, folder: Path, name: str, busy: tuple[float, float] | None
) -> dict[str, Any]:
    """One training, and what it took."""
    peak = peak_gflops()
    folder.mkdir()
    for path in data.iterdir():
        (folder / path.name).symlink_to(path)
    RunFolder.create(folder, recipe)
    ended: list[TrainingEvent] = []
    assert recipe.training.minutes is not None
    seconds = 60 * recipe.training.minutes
    start, stop = (seconds * share for share in busy or (2.0, 2.0))

    def watch(report: TrainingEvent) -> None:
        ended[:] = [report]

    with progress_bar(name) as shown:
        began = time.perf_counter()
        with other_work(start, stop):
            train(recipe, folder, resume=True, callbacks=[shown, OnStep(watch)])
            took = time.perf_counter() - began
    (report,) = ended
    assert report.validation is not None
    return {
        "machine": name,
        "minutes": took / 60,
        "of_budget": took / seconds,
        "updates": report.update.step,
        "score": report.validation.score,
        "product_gflops_before": peak,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="localisation")
    parser.add_argument("--model", help="an architecture in place of the recipe's own")
    parser.add_argument("--minutes", type=float, default=3.0)
    options = parser.parse_args()
    recipe = recipes.load(options.recipe, model=options.model)
    recipe = recipes.with_budget(recipe, minutes=options.minutes)
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        prepare(recipe.data, recipe.vocabulary, data)
        found = [
            trained(recipe, data, Path(place) / str(number), name, busy)
            for number, (name, busy) in enumerate(PARTS.items())
        ]
    show(
        f"{options.recipe}, {options.minutes:g} minutes",
        ("machine", "minutes", "of the budget", "updates", "validation score", "product before"),
        [
            (
                one["machine"], f"{one['minutes']:.2f}", f"{one['of_budget']:.1%}", f"{one['updates']:,}",
                f"{one['score']:.1f}", f"{one['product_gflops_before']:.0f} GFLOP/s",
            )
            for one in found
        ],
    )  # fmt: skip
    budget = {"recipe": options.recipe, "budget_minutes": options.minutes}
    print(json.dumps({**budget, "trainings": found}, indent=2))
    return int(any(abs(one["of_budget"] - 1) > TOLERANCE for one in found))


if __name__ == "__main__":
    sys.exit(main())
