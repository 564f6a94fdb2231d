"""Checkpoints: all that a training needs to go on as if it had never stopped."""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atonce import stored
from atonce.data.batches import DataPosition
from atonce.disk import replacing
from atonce.errors import RESTORE, RunError, damaged, reason
from atonce.models.seq2seq import Seq2Seq
from atonce.models.weights import set_weights, weights_of
from atonce.progress import say
from atonce.runs.folder import load_tensors, save_tensors
from atonce.runs.json_lines import checkpoints_in, sum_of_progress
from atonce.shapes import Shaped
from atonce.training.loop import Update
from atonce.training.muon import Muon
from atonce.training.optimizers import WeightAverage


@dataclass(frozen=True)
class Progress:
    """Where a training stands, apart from its tensors."""

    step: int = 0
    position: DataPosition = field(default_factory=DataPosition)
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
        """What `asdict` made of one, back from JSON. Raises ValueError, TypeError or KeyError for another."""
        # A tuple, which JSON gives back as a list.
        epoch, batch = values["position"]
        progress = cls(**{**values, "position": DataPosition(epoch, batch)})
        for name, value in {**vars(progress), **progress.position._asdict()}.items():
            if not _is_sensible(name, value):
                raise ValueError(f"{name} is {value!r:.40} in progress.json")
        return progress

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


_STATE = "state.safetensors"
_COUNTS = {"step", "epoch", "batch", "validations_since_best", "skipped", "skipped_in_a_row", "threads"}
_MAY_BE_NONE = {"planned_steps", "update_seconds", "validation_updates", "least_cost"}


def _is_sensible(name: str, value: object) -> bool:
    """Whether something of `Progress` may have this value."""
    if name == "position":
        return isinstance(value, DataPosition)
    if name == "stopped_early":
        return isinstance(value, bool)
    if value is None:
        return name in _MAY_BE_NONE
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if name in _COUNTS or name == "planned_steps":
        # From 2^53 on, not every reader of JSON counts exactly.
        return isinstance(value, int) and int(name == "planned_steps") <= value < 1 << 53
    return name == "least_cost" or 0 <= value < 1e300


@dataclass(frozen=True)
class Learner:
    """The things that change while a model learns."""

    model: Seq2Seq
    optimizers: list[torch.optim.Optimizer]
    average: WeightAverage | None


def save_checkpoint(
    folder: Path,
    learner: Learner,
    progress: Progress,
    *,
    lines: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Keep the state after `progress.step`, then let go of older ones. Raises DiskError.

    `lines`: sums of the files of the run that lines are added to, as they are now.
    """
    path = folder / f"step-{progress.step:08d}"
    # It is there where a training pauses right behind a validation, which saves as well.
    if not path.exists():
        with replacing(path) as partial:
            partial.mkdir()
            state = partial / _STATE
            save_tensors(state, _tensors(learner))
            values = {
                **asdict(progress),
                "optimizers": [_numbers(o) for o in learner.optimizers],
                "sums": {_STATE: vars(stored.sum_of_file(state)), **(lines or {})},
            }
            values["sum"] = sum_of_progress(values)
            (partial / "progress.json").write_text(json.dumps(values, indent=2), encoding="utf-8")
    _remove_older(folder)


def load_checkpoint(folder: Path, learner: Learner, *, tidy: bool = True) -> Progress | None:
    """Put the newest state back into `learner`, and torch's random state too. None if there is none.

    Older ones, which a kill may have left, go. Where the newest is damaged and an older one is whole, that
    is gone on with, which is told on stderr: what came after it is trained again, and comes out the same.
    `tidy`: False in a process that is to remove nothing and to say nothing, as another does both.
    Raises RunError if there is no other and it is damaged or of another model; stored.Unreadable, at once, if
    the system does not give it, and what torch raises where there is not enough memory: it may be whole then.
    """
    paths = checkpoints_in(folder)
    fault: RunError | None = None
    # The newest that is whole.
    for path in reversed(paths):
        try:
            progress = _loaded(path, learner)
        except stored.Unreadable:
            raise
        except RunError as error:
            fault = fault or error
            continue
        if fault is not None and tidy:
            say(f"{fault.what} ({fault.why}): going on from the one before, {path.name}")
            for damaged in paths[paths.index(path) + 1 :]:
                _remove(damaged)
        if tidy:
            _remove_older(folder)
        return progress
    if fault is not None:
        raise fault
    return None


def _loaded(path: Path, learner: Learner) -> Progress:
    """What `save_checkpoint` wrote. Raises as `load_checkpoint`, with the learner half of what it was."""
    has_its_sum = False
    try:
        values = stored.read_json(path / "progress.json", finite=False)  # a loss may not be
        if not isinstance(values, dict):
            raise ValueError("progress.json is no JSON object")
        sums, own = values.pop("sums", None), values.pop("sum", None)
        # Versions before there were sums have neither.
        if (sums, own) != (None, None) and own != sum_of_progress({**values, "sums": sums}):
            raise ValueError("progress.json does not have its sum")
        numbers = values.pop("optimizers")
        progress = Progress.from_json(values)
        if path.name != f"step-{progress.step:08d}":
            raise ValueError(f"progress.json is of step {progress.step}")
        stored.check_regular(path / _STATE)
        if sums is not None:
            if vars(stored.sum_of_file(path / _STATE)) != sums[_STATE]:
                raise ValueError(f"{_STATE} does not have the sum that progress.json has of it")
            has_its_sum = True
        tensors = load_tensors(path / _STATE)
        if sums is None:  # of an older version
            _check_finite(tensors)
        _restore(learner, tensors, numbers, path, is_summed=has_its_sum)
        return progress
    except stored.Unreadable:
        raise
    except RunError as error:
        why = f"{error.what}: {error.why}"
    except OSError as error:
        found = stored.fault(Path(error.filename or path), error)
        if isinstance(found, stored.Unreadable):
            raise found from None
        why = f"{error.filename}: {found.why}"
    except RuntimeError as error:
        if stored.ran_out_of_memory(error):
            raise
        if has_its_sum:  # torch or the device fails, and would with any other
            raise stored.Unreadable(
                f"cannot go on from {path}, which is as it was stored",
                why=reason(error).splitlines()[0],
                fix="run the same command again; or else with the version of torch that trained it",
            ) from error
        why = reason(error)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        why = reason(error)
    raise damaged(f"the checkpoint {path}", why, fix=f"{RESTORE} in another folder")


def seconds_trained(folder: Path) -> float:
    """How long the training had taken by its newest checkpoint; 0 if there is none that can be read."""
    try:
        values = stored.read_json(checkpoints_in(folder)[-1] / "progress.json", finite=False)
        return Progress.from_json(
            {key: one for key, one in values.items() if key in vars(Progress())}
        ).seconds
    except (RunError, IndexError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0.0


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):  # something else in its place
        path.unlink(missing_ok=True)


def _remove_older(folder: Path) -> None:
    for old in checkpoints_in(folder)[:-1]:
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
    learner: Learner,
    tensors: Mapping[str, Tensor],
    numbers: list[list[dict[str, Any]]],
    path: Path,
    *,
    is_summed: bool,
) -> None:
    def under(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}

    known = {"model", "average", "optimizer", "average_updates", "random", "random_cuda"}
    if strange := [name for name in tensors if name.partition("/")[0] not in known]:
        raise ValueError(f"state.safetensors has a tensor {strange[0]}, which is of no training")
    set_weights(learner.model, under("model/"), origin=path / "state.safetensors")
    for number, (optimizer, groups) in enumerate(zip(learner.optimizers, numbers, strict=True)):
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in under(f"optimizer/{number}/").items():
            index, key = name.split("/")
            state.setdefault(int(index), {})[key] = value
        if not is_summed:  # else they may be those of another version of torch, but not damaged
            _check_numbers(optimizer, groups)
            _check_state(optimizer, state)
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    averages = under("average/")
    if averages.keys() != (learner.average.weights.keys() if learner.average else set()):
        raise ValueError("state.safetensors has an average of other weights than the recipe's")
    if learner.average:
        for name, weight in learner.average.weights.items():
            _check_alike(f"average/{name}", averages[name], weight)
            weight.copy_(averages[name])
        updates = tensors["average_updates"]
        if updates.ndim or updates.dtype != torch.int64 or updates < 0:
            raise ValueError("average_updates is no number of updates")
        learner.average.updates = int(updates)
    # Dropout goes on with the numbers that would have come next.
    torch.set_rng_state(tensors["random"])
    if "random_cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random_cuda"])


def _check_finite(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{name} holds numbers that are not finite")


def _check_alike(name: str, tensor: Shaped[Tensor, "*given"], like: Shaped[Tensor, "*shape"]) -> None:
    if tensor.shape != like.shape or tensor.dtype != like.dtype:
        raise ValueError(
            f"{name} is {tuple(tensor.shape)} of {tensor.dtype}, and should be {tuple(like.shape)}"
        )


def _check_numbers(optimizer: torch.optim.Optimizer, groups: list[dict[str, Any]]) -> None:
    """Options are those that the recipe gives, between two updates the rate too."""
    # As JSON has them: tuples are lists there.
    fresh = json.loads(json.dumps(_numbers(optimizer)))
    if groups != fresh or json.dumps(groups) != json.dumps(fresh):  # 1 is True, and 1.0
        raise ValueError("the options of an optimiser in progress.json are not those of the recipe")


def _check_state(optimizer: torch.optim.Optimizer, state: Mapping[int, Mapping[str, Tensor]]) -> None:
    """What an optimiser knows of a weight has the weight's shape, or is a number; of all weights the same."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    if not state:
        return  # no update has been made yet
    keys = {"average"} if isinstance(optimizer, Muon) else {"step", "exp_avg", "exp_avg_sq"}
    for index, known in state.items():
        if not 0 <= index < len(weights) or known.keys() != keys:
            raise ValueError(f"an optimiser knows {', '.join(sorted(known))} of weight {index}")
        for key, value in known.items():
            _check_alike(
                f"{key} of weight {index}", value, torch.tensor(0.0) if key == "step" else weights[index]
            )
