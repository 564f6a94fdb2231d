"""Checkpoints: all that a training needs to go on as if it had never stopped."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atonce.disk import replacing
from atonce.errors import RunError
from atonce.models.seq2seq import Seq2Seq
from atonce.models.weights import set_weights, weights_of
from atonce.runs.folder import load_tensors, save_tensors
from atonce.training.average import WeightAverage
from atonce.training.loop import Update
from atonce.training.stream import Position


@dataclass(frozen=True)
class Progress:
    """Where a training stands, apart from its tensors."""

    step: int = 0
    position: Position = field(default_factory=Position)
    """How far the data were read."""
    planned_steps: int | None = None
    """The step budget; None where minutes are given."""
    seconds: float = 0.0
    """Time trained so far, validations included."""
    update_seconds: float | None = None
    """What an update took lately, where the budget is time."""
    validation_updates: float | None = None
    """As many updates a validation takes as long as, once that is known."""
    least_cost: float | None = None
    """Of the best validation so far: its loss, or its score below zero."""
    validations_since_best: int = 0
    skipped: int = 0
    """Steps with a loss or gradient that was not finite."""
    skipped_in_a_row: int = 0
    stopped_early: bool = False
    threads: int = 0
    """With how many a CPU computes it; 0: with as many as torch has, as in earlier versions."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Progress":
        """What `asdict` made of one, back from JSON."""
        return cls(**{**values, "position": Position(*values["position"])})

    def after(self, update: Update) -> "Progress":
        """One step on."""
        return replace(
            self,
            step=update.step,
            position=update.position,
            seconds=update.seconds,
            skipped=self.skipped + update.skipped,
            skipped_in_a_row=self.skipped_in_a_row + 1 if update.skipped else 0,
        )

    def validated(self, cost: float, *, patience: int | None) -> "Progress":
        """After a validation. Training stops once `patience` of them in a row brought no lower cost."""
        if self.least_cost is None or cost < self.least_cost:
            return replace(self, least_cost=cost, validations_since_best=0)
        since = self.validations_since_best + 1
        return replace(
            self, validations_since_best=since, stopped_early=patience is not None and since >= patience
        )


@dataclass(frozen=True)
class Learner:
    """The things that change while a model learns."""

    model: Seq2Seq
    optimizers: list[torch.optim.Optimizer]
    average: WeightAverage | None


def save_checkpoint(folder: Path, learner: Learner, progress: Progress) -> None:
    """Keep the state after `progress.step`, then let go of older ones. Raises DiskError."""
    path = folder / f"step-{progress.step:08d}"
    if not path.exists():
        with replacing(path) as partial:
            partial.mkdir()
            save_tensors(partial / "state.safetensors", _tensors(learner))
            values = {**asdict(progress), "optimizers": [_numbers(o) for o in learner.optimizers]}
            (partial / "progress.json").write_text(json.dumps(values, indent=2), encoding="utf-8")
    _remove_older(folder)


def load_checkpoint(folder: Path, learner: Learner) -> Progress | None:
    """Put the newest state back into `learner`, and torch's random state too. None if there is none.

    Older ones, which a kill may have left, go.
    Raises RunError if it is damaged or of another model.
    """
    paths = _checkpoints(folder)
    if not paths:
        return None
    path = paths[-1]
    try:
        values = json.loads((path / "progress.json").read_text(encoding="utf-8"))
        tensors = load_tensors(path / "state.safetensors")
        _restore(learner, tensors, values.pop("optimizers"), path)
        progress = Progress.from_json(values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise RunError(
            f"the checkpoint {path} is damaged",
            why=str(error) or type(error).__name__,
            fix="restore it from a copy, or train again in another folder",
        ) from None
    _remove_older(folder)
    return progress


def seconds_trained(folder: Path) -> float:
    """How long the training had taken by its newest checkpoint; 0 if there is none that can be read."""
    try:
        values = json.loads((_checkpoints(folder)[-1] / "progress.json").read_text(encoding="utf-8"))
        return float(values["seconds"])
    except (IndexError, OSError, ValueError, KeyError, TypeError):
        return 0.0


def _checkpoints(folder: Path) -> list[Path]:
    """The whole ones, oldest first."""
    return sorted(folder.glob("step-*"))


def _remove_older(folder: Path) -> None:
    for old in _checkpoints(folder)[:-1]:
        shutil.rmtree(old, ignore_errors=True)


def _tensors(learner: Learner) -> dict[str, Tensor]:
    """Every tensor of the state under one flat name."""
    tensors = {f"model/{name}": weight for name, weight in weights_of(learner.model).items()}
    for number, optimizer in enumerate(learner.optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimizer/{number}/{index}/{key}"] = value
    if learner.average:
        tensors |= {f"average/{name}": weight for name, weight in learner.average.weights.items()}
        tensors["average_updates"] = torch.tensor(learner.average.updates)
    tensors["random"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random_cuda"] = torch.cuda.get_rng_state()
    return tensors


def _numbers(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The options of an optimiser, which JSON can hold."""
    groups: list[dict[str, Any]] = optimizer.state_dict()["param_groups"]
    return groups


def _restore(
    learner: Learner, tensors: Mapping[str, Tensor], numbers: list[list[dict[str, Any]]], path: Path
) -> None:
    def under(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}

    set_weights(learner.model, under("model/"), origin=path)
    for number, (optimizer, groups) in enumerate(zip(learner.optimizers, numbers, strict=True)):
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in under(f"optimizer/{number}/").items():
            index, key = name.split("/")
            state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    if learner.average:
        for name, weight in learner.average.weights.items():
            weight.copy_(tensors[f"average/{name}"])
        learner.average.updates = int(tensors["average_updates"])
    torch.set_rng_state(tensors["random"])
    if "random_cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random_cuda"])
