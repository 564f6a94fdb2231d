"""JoeyNMT's own trainer on batches of 2,048 pieces, examined at given minutes: FOLDER RECIPE MINUTES..."""

import sys
from pathlib import Path
from typing import Any

from joeynmt import training
from joeynmt_training import config
from quality import Examination


def main(folder: Path, minutes: list[float]) -> None:
    examination = Examination(minutes)
    make_step, train = training.TrainManager._train_step, training.TrainManager.train_and_validate

    def train_and_validate(self: Any, train_data: Any, valid_data: Any) -> None:
        self.few = valid_data
        examination.begin()
        train(self, train_data, valid_data)

    def step(self: Any, batch: Any) -> Any:
        def translate() -> list[str]:
            found = training.predict(
                model=self.model, data=self.few, device=self.device, n_gpu=0, args=self.dev_cfg,
                autocast=self.autocast,
            )  # fmt: skip
            self.model.train()
            return list(found[2])

        examination.look(translate)
        return make_step(self, batch)

    training.TrainManager.train_and_validate = train_and_validate
    training.TrainManager._train_step = step
    training.train(rank=0, world_size=1, cfg=config(folder, "transformer", batch=2048), skip_test=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [float(one) for one in sys.argv[3:]])
