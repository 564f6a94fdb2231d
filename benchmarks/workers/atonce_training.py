"""atonce's own training loop, as `atonce train` runs it, in float32: FOLDER MODEL."""

import sys
from pathlib import Path

import worker

from atonce.data.prepare import open_prepared
from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.models.device import choose_device
from atonce.runs.recipe import TrainingConfig
from atonce.training.average import WeightAverage
from atonce.training.budget import Budget
from atonce.training.loop import updates
from atonce.training.optimizers import build_optimizers
from atonce.training.stream import Position, batches_from

SIDE = {"layers": 3, "heads": 4, "feed_forward": 1024, "dropout": 0.1}
MODELS = {
    "transformer": {"encoder": SIDE, "decoder": SIDE},
    "rnn": {"encoder": {"kind": "lstm"}, "decoder": {"kind": "lstm", "attention": "additive"}},
}
CONFIG = {"batch_tokens": 4096, "precision": "float32", "schedule": "constant"}


def main(folder: Path, name: str) -> None:
    prepared = open_prepared(folder)
    config = TrainingConfig.parse(CONFIG, origin="the benchmark")
    model = build_model(ModelConfig.parse({"dim": 256, **MODELS[name]}, origin="the benchmark"), 8000)
    model = model.to(choose_device("cpu"))
    stream = batches_from(Position(), prepared.train, batch_tokens=config.batch_tokens, seed=1)
    learning = updates(
        model,
        build_optimizers(model, config),
        WeightAverage(model, config.average),
        stream,
        config,
        Budget(None, None),
    )

    def step() -> dict[str, int]:
        (batch,) = next(learning).batches
        sources, targets = batch.source_mask.sum(1).tolist(), batch.target_mask.sum(1).tolist()
        return worker.done(zip(sources, targets, strict=True), batch.target_mask.numel())

    worker.serve(
        step, f"batches of like length, at most {config.batch_tokens} pieces with padding; Muon and AdamW"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
