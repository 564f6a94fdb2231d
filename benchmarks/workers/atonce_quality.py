"""atonce's own training on its own recipe, examined at given minutes: FOLDER RECIPE MINUTES...

It learns for all of the minutes, on a schedule that ends with them. What translates is the average of the
weights, as in a run that is used. It does not validate: it is looked at from outside.
"""

import sys
from pathlib import Path

import torch
from quality import Examination

from atonce.data.batches import DataPosition, batches_from
from atonce.data.prepare import open_prepared
from atonce.decoding.load import system_of
from atonce.decoding.predictor import model_for
from atonce.runs.recipe import load
from atonce.training.budget import GUESSED_VALIDATION, Clock, TimeBudget
from atonce.training.loop import updates
from atonce.training.optimizers import WeightAverage, build_optimizers


class Trained(Clock):
    """Stands still while a model is examined."""

    def __init__(self, examination: Examination) -> None:
        self._examination = examination

    @property
    def seconds(self) -> float:
        return self._examination.seconds


def main(folder: Path, recipe_name: str, minutes: list[float]) -> None:
    recipe, prepared = load(recipe_name), open_prepared(folder)
    config = recipe.training
    texts = (folder / "few.src").read_text(encoding="utf-8").splitlines()
    torch.manual_seed(config.seed)
    model = model_for(recipe.model, prepared.io_spec)
    system, average = system_of(model, prepared.io_spec, recipe), WeightAverage(model, config.average)

    def translate() -> list[str]:
        with average.in_place_of_weights(model):
            return system.outputs(texts, beam=1)

    *before, last = minutes
    examination = Examination(before)
    optimizers = build_optimizers(model, config)
    stream = batches_from(DataPosition(), prepared.train, batch_tokens=config.batch_tokens, seed=config.seed)
    budget = TimeBudget(last / (1 - GUESSED_VALIDATION))  # it keeps some of the minutes for validation
    examination.begin()
    for _ in updates(model, optimizers, average, stream, config, budget, clock=Trained(examination)):
        examination.look(translate)
    examination.end(translate)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [float(one) for one in sys.argv[3:]])
