"""JoeyNMT trained for a while, translating at some points of it: FOLDER TIMES (seconds, "60,90").

Translates FOLDER/test.src greedily with its own search at each of the times of training and prints a line of
JSON: seconds trained, steps, texts. Needs what joeynmt_peer.py says.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import joeynmt_peer
import torch
from joeynmt.batch import Batch
from joeynmt.datasets import build_dataset
from joeynmt.prediction import predict
from joeynmt.training import TrainManager

BATCH = 2048


def translate(manager: TrainManager, folder: Path) -> list[str]:
    """As it validates; dropout is off within."""
    data = manager.train_iter.dataset
    test = build_dataset(
        "plain", str(folder / "test"), "src", "tgt", "test", data.tokenizer, data.sequence_encoder
    )
    tokenizer = data.tokenizer["tgt"]
    post_process = tokenizer.post_process

    def forgiving(*pieces: Any, **named: Any) -> str:
        """It stops at an empty output, which a model in its first minute makes."""
        try:
            return post_process(*pieces, **named)
        except AssertionError:
            return ""

    tokenizer.post_process = forgiving
    found = predict(
        manager.model, test, manager.device, manager.n_gpu, args=manager.dev_cfg, autocast=manager.autocast
    )
    tokenizer.post_process = post_process
    return found[2]


def main(folder: Path, times: list[float]) -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever it prints does not get between the lines
    train_step = TrainManager._train_step
    waiting, began, steps = list(times), 0.0, 0

    def watched(manager: TrainManager, batch: Batch) -> Any:
        """Before each step: is it time to translate? The clock starts with the first step."""
        nonlocal began, steps
        began = began or time.perf_counter()
        seconds = time.perf_counter() - began
        if seconds >= waiting[0]:
            while waiting and seconds >= waiting[0]:
                waiting.pop(0)
            state = torch.get_rng_state()
            texts = translate(manager, folder)
            print(json.dumps({"seconds": seconds, "steps": steps, "texts": texts}), file=out, flush=True)
            if not waiting:
                raise SystemExit(0)
            torch.set_rng_state(state)
            began = time.perf_counter() - seconds
        steps += 1
        return train_step(manager, batch)

    TrainManager._train_step = watched
    joeynmt_peer.train(joeynmt_peer.config(folder, "transformer", BATCH))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [float(one) for one in sys.argv[2].split(",")])
