"""JoeyNMT's own trainer on batches of 2,048 pieces, examined at given minutes: FOLDER RECIPE MINUTES..."""

import sys
from pathlib import Path
from typing import Any

import torch
from joeynmt import training
from joeynmt.tokenizers import SentencePieceTokenizer
from joeynmt_training import config
from quality import Examination


def main(folder: Path, minutes: list[float]) -> None:
    examination = Examination(minutes)
    make_step, train = training.TrainManager._train_step, training.TrainManager.train_and_validate
    began = False

    def train_and_validate(self: Any, train_data: Any, valid_data: Any) -> None:
        self.few = valid_data
        train(self, train_data, valid_data)

    def step(self: Any, batch: Any) -> Any:
        """From one call to the next is one step."""
        nonlocal began
        if not began:
            examination.begin()
            began = True
        else:
            examination.look(lambda: translate(self))
        if examination.over:
            raise SystemExit(0)
        return make_step(self, batch)

    training.TrainManager.train_and_validate = train_and_validate
    training.TrainManager._train_step = step
    training.train(rank=0, world_size=1, cfg=config(folder, "transformer", batch=2048), skip_test=True)


def translate(manager: Any) -> list[str]:
    """As it validates. Training goes on as if nothing had been."""
    state = torch.get_rng_state()
    found = training.predict(
        model=manager.model, data=manager.few, device=manager.device, n_gpu=0, args=manager.dev_cfg,
        autocast=manager.autocast,
    )  # fmt: skip
    torch.set_rng_state(state)
    manager.model.train()
    return list(found[2])


def forgive_empty_outputs() -> None:
    """It stops at an empty output, and a model in its first minutes makes some."""
    post_process = SentencePieceTokenizer.post_process

    def forgiving(*pieces: Any, **named: Any) -> str:
        try:
            return post_process(*pieces, **named)
        except AssertionError:
            return ""

    SentencePieceTokenizer.post_process = forgiving


if __name__ == "__main__":
    forgive_empty_outputs()
    main(Path(sys.argv[1]), [float(one) for one in sys.argv[3:]])
