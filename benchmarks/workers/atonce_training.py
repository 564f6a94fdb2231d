"""atonce's own training loop, as `atonce train` runs it, in float32: FOLDER MODEL."""

import sys
from pathlib import Path

import worker
from torch import Tensor, nn

from atonce.data.batches import DataPosition, batches_from
from atonce.data.prepare import open_prepared
from atonce.layers.dropout import dropout
from atonce.layers.recurrence import Directions, RecurrentLayer
from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.models.device import choose_device
from atonce.models.interface import Memory
from atonce.runs.recipe import TrainingConfig
from atonce.training.budget import StepBudget
from atonce.training.loop import updates
from atonce.training.optimizers import WeightAverage, build_optimizers

SIDE = {"layers": 3, "heads": 4, "feed_forward": 1024, "dropout": 0.1}
RECURRENT = {"encoder": {"kind": "lstm"}, "decoder": {"kind": "lstm", "attention": "additive"}}
TRANSFORMER = {"encoder": SIDE, "decoder": SIDE}
MODELS = {
    "transformer": TRANSFORMER, "transformer-adamw": TRANSFORMER, "rnn": RECURRENT, "rnn-128": RECURRENT,
}  # fmt: skip
CONFIG = {"batch_tokens": 4096, "precision": "float32", "schedule": "constant"}


class WideEncoder(nn.Module):
    """As our bidirectional LSTM, but each direction has the whole width; in our models it has half.

    What the decoder gets is brought back to one width.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.directions = Directions(*(RecurrentLayer("lstm", dim, dim) for _ in range(2)))
        self.joined = nn.Linear(2 * dim, dim)

    def forward(self, embedded: Tensor, mask: Tensor) -> Memory:
        states, summary = self.directions(dropout(embedded, 0.1, self.training), mask)
        return Memory(self.joined(states), mask, self.joined(summary))


def main(folder: Path, name: str) -> None:
    prepared = open_prepared(folder)
    optimizer = "adamw" if name.endswith("adamw") else "muon"
    config = TrainingConfig.parse({**CONFIG, "optimizer": optimizer}, origin="the benchmark")
    model = build_model(ModelConfig.parse({"dim": 256, **MODELS[name]}, origin="the benchmark"), 8000)
    if name == "rnn":
        model.encoder = WideEncoder(256)
    model = model.to(choose_device("cpu"))
    stream = batches_from(DataPosition(), prepared.train, batch_tokens=config.batch_tokens, seed=1)
    learning = updates(
        model,
        build_optimizers(model, config),
        WeightAverage(model, config.average),
        stream,
        config,
        StepBudget(1_000_000_000),  # as long as it is told to
    )

    def step() -> dict[str, int]:
        (batch,) = next(learning).batches
        sources, targets = batch.source_mask.sum(1).tolist(), batch.target_mask.sum(1).tolist()
        return worker.done(zip(sources, targets, strict=True), batch.target_mask.numel())

    worker.serve(
        step, f"batches of like length, at most {config.batch_tokens} tokens with padding; {optimizer}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
