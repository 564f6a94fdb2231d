"""JoeyNMT's own training, batches and all, a step at a time: FOLDER MODEL. Needs what joeynmt_peer.py says."""

import sys
from pathlib import Path
from typing import Any

import joeynmt_peer
import worker
from joeynmt.batch import Batch
from joeynmt.training import TrainManager

BATCH = 4096


def main(folder: Path, model: str) -> None:
    turns = worker.Turns(f"token batches of {BATCH} with padding, in random order; Adam")
    train_step = TrainManager._train_step
    before: list[dict[str, int]] = []

    def in_turn(manager: TrainManager, batch: Batch) -> Any:
        """From one call to the next is one step: this batch, the optimizer, making the next batch."""
        if before:
            turns.made(before.pop())
        targets = batch.trg_mask.squeeze(1).sum(1).tolist()
        pairs = zip(batch.src_length.tolist(), targets, strict=True)
        before.append(worker.done(pairs, batch.trg.numel()))
        return train_step(manager, batch)

    TrainManager._train_step = in_turn
    joeynmt_peer.train(joeynmt_peer.config(folder, model, BATCH))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
