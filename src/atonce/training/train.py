"""A training from recipe to run folder, with all that is around the loop: log, validation, checkpoints."""

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from atonce.config import differences
from atonce.data.prepare import Prepared, open_prepared, prepare
from atonce.decoding.opening import model_for, system_of
from atonce.errors import RunError, TrainingError
from atonce.models.device import choose_device
from atonce.models.weights import weights_of
from atonce.runs.folder import RunFolder, save_tensors
from atonce.runs.recipe import Recipe
from atonce.training.average import WeightAverage
from atonce.training.budget import Budget
from atonce.training.checkpoint import Learner, Progress, load_checkpoint, save_checkpoint
from atonce.training.distributed import Ranks, together, was_restarted
from atonce.training.loop import Update, updates
from atonce.training.optimizers import build_optimizers
from atonce.training.speed import Speed
from atonce.training.stream import batches_from
from atonce.training.validation import METRICS, Validation, validate

DEFAULT_STEPS = 5_000
"""Where a recipe gives neither steps nor minutes."""
VALIDATIONS = 8
"""In a training, where the recipe does not say."""
MOST_SKIPPED_IN_A_ROW = 10
LOG_EVERY = 10


@dataclass(frozen=True)
class Report:
    """What whoever watches a training is told after each step."""

    update: Update
    planned_steps: int | None
    tokens_per_second: float
    """Target pieces learned from in a second, lately, validation not counted."""
    validation: Validation | None
    """Where this step ended with one."""


def train(
    recipe: Recipe,
    folder: str | Path,
    *,
    resume: bool = False,
    device: str | torch.device | None = None,
    watch: Callable[[Report], None] = lambda _: None,
    quiet: bool = False,
) -> RunFolder:
    """Train what the recipe says into a run folder; with `resume`, go on with a training that broke off.

    The folder's model is the average of the weights (or the weights) of the best validation so far,
    so it can be used while training goes on. `watch` is called after each step. `quiet`: no progress bars
    while the data are prepared. The device is a GPU where there is one, unless given.

    A resumed training takes everything from the folder, and `recipe` must be the one it began with; where
    nothing was begun yet, it begins.
    Under `torchrun`, the first process does all but the learning, in which every one has its share.
    Raises RunError (the folder holds a run already, or is damaged), DataError, TrainingError, DiskError.
    """
    with together(choose_device(device)) as ranks:
        if ranks.is_first:
            run = _open_run(recipe, Path(folder), resume=resume or was_restarted())
            _prepare(run, quiet=quiet)
        ranks.told(0.0)  # all is there
        run = RunFolder.open(folder)
        return _Training(run, open_prepared(run.path), ranks, watch).run_to_end()


def _open_run(recipe: Recipe, folder: Path, *, resume: bool) -> RunFolder:
    if not resume or not (folder / "recipe.toml").exists():
        return RunFolder.create(folder, recipe)
    run = RunFolder.open(folder)
    recipe = run.as_begun(recipe)
    if run.recipe != recipe:
        changed = differences(run.recipe, recipe)
        raise RunError(
            f"the recipe is not the one {folder} was begun with",
            why=f"it differs in {', '.join(changed)}; a resumed training goes on exactly as it began",
            fix=f"resume with the run's own recipe, {folder / 'recipe.toml'}, or train into another folder",
        )
    run.sweep()
    return run


def _prepare(run: RunFolder, *, quiet: bool) -> None:
    """Store the run's data in it, the first time."""
    if (run.path / "data.json").exists() or run.checkpoints.exists():
        return
    try:
        prepare(run.recipe.data, run.recipe.vocabulary, run.path, quiet=quiet)
    except BaseException:
        # Nothing was trained: leave no folder behind that would be in the way of a second try.
        (run.path / "recipe.toml").unlink()
        if not any(run.path.iterdir()):
            run.path.rmdir()
        raise


class _Training:
    """One sitting of a training. Its methods are in the order of a training's life."""

    def __init__(
        self, run: RunFolder, prepared: Prepared, ranks: Ranks, watch: Callable[[Report], None]
    ) -> None:
        self.run = run
        self.prepared = prepared
        self.config = run.recipe.training
        self.ranks = ranks
        self.watch = watch
        torch.manual_seed(self.config.seed)
        model = model_for(run.recipe, prepared.ends).to(ranks.device)
        ranks.take_weights_of_first(model)
        average = WeightAverage(model, self.config.average) if self.config.average else None
        self.learner = Learner(model, build_optimizers(model, self.config), average)
        self.system = system_of(model, prepared.ends, run.recipe)
        steps = self.config.steps or (None if self.config.minutes else DEFAULT_STEPS)
        self.progress = load_checkpoint(run.checkpoints, self.learner) or Progress(planned_steps=steps)
        self.budget = Budget(self.progress.planned_steps, self.config.minutes)
        self.speed = Speed()
        if ranks.is_first:
            run.rewind_log(self.progress.step)

    def run_to_end(self) -> RunFolder:
        if self.progress.stopped_early:
            return self.run
        for update in self._updates():
            self.speed.count(update)
            self.progress = self.progress.after(update, self.budget.steps)
            self._stop_if_nothing_is_learned(update)
            with self.speed.paused():
                validation = self._validate() if self._is_due(self._validate_every) else None
                if self.ranks.is_first:
                    self._write(update, validation)
            self.watch(Report(update, self.budget.steps, self.speed.tokens_per_second, validation))
            if self.progress.stopped_early:
                break
        return self.run

    def _updates(self) -> Iterator[Update]:
        stream = batches_from(
            self.progress.position,
            self.prepared.train,
            batch_tokens=self.config.batch_tokens,
            seed=self.config.seed,
        )
        return updates(
            self.learner.model,
            self.learner.optimizers,
            self.learner.average,
            stream,
            self.config,
            self.budget,
            done=self.progress.step,
            seconds_before=self.progress.seconds,
            ranks=self.ranks,
        )

    def _stop_if_nothing_is_learned(self, update: Update) -> None:
        """Raises TrainingError when too many steps in a row came to nothing."""
        if self.progress.skipped_in_a_row < MOST_SKIPPED_IN_A_ROW:
            return
        path = self.run.path / f"nonfinite-step-{update.step}.safetensors"
        tensors = {
            f"{number}/{name}": tensor
            for number, batch in enumerate(update.batches, start=1)
            for name, tensor in batch.tensors().items()
        }
        if self.ranks.is_first:
            save_tensors(path, tensors)
        raise TrainingError(
            f"training stopped at step {update.step}",
            why=f"loss or gradient were not finite {MOST_SKIPPED_IN_A_ROW} times in a row",
            fix="lower training.learning_rate and training.muon_learning_rate, or use "
            f"--set training.precision=float32; what the last step read is in {path}",
        )

    @property
    def _validate_every(self) -> int | None:
        if self.config.validate_every is not None or self.budget.steps is None:
            return self.config.validate_every
        return math.ceil(self.budget.steps / VALIDATIONS)

    def _is_due(self, every: int | None) -> bool:
        """Whether something done every so many steps, and at the end, is to be done now."""
        step = self.progress.step
        return step == self.budget.steps or (every is not None and step % every == 0)

    def _validate(self) -> Validation:
        """Validate the weights to be kept, and keep them if they are the best so far."""
        model, average = self.learner.model, self.learner.average
        with average.in_place_of_weights(model) if average else nullcontext():
            validation = self._validation_of_first()
            cost = validation.loss if self.config.keep == "loss" else -validation.score
            self.progress = self.progress.validated(cost, patience=self.config.patience)
            if self.progress.validations_since_best == 0 and self.ranks.is_first:
                self.run.save_weights(weights_of(model))
        return validation

    def _validation_of_first(self) -> Validation:
        """What the first process finds; the others are told."""
        task = self.run.recipe.data.task
        found = Validation(math.nan, METRICS[task][0], math.nan)
        if self.ranks.is_first:
            found = validate(
                self.system,
                self.prepared,
                task,
                sentences=self.config.validation_sentences,
                batch_tokens=self.config.batch_tokens,
                smoothing=self.config.label_smoothing,
            )
        return replace(found, loss=self.ranks.told(found.loss), score=self.ranks.told(found.score))

    def _write(self, update: Update, validation: Validation | None) -> None:
        """In this order: a checkpoint stands for all that was done and written up to its step."""
        self._log(update, validation)
        if validation is not None or self._is_due(self.config.save_every):
            save_checkpoint(self.run.checkpoints, self.learner, self.progress)

    def _log(self, update: Update, validation: Validation | None) -> None:
        if validation is None and update.step % LOG_EVERY and not update.skipped:
            return
        validated = (
            {"valid_loss": validation.loss, f"valid_{validation.metric}": validation.score}
            if validation
            else {}
        )
        self.run.log(
            step=update.step,
            seconds=round(update.seconds, 3),
            loss=_finite(update.loss),
            rate_factor=update.rate_factor,
            gradient_norm=_finite(update.gradient_norm),
            target_tokens_per_second=round(self.speed.tokens_per_second, 1),
            padding_share=round(self.speed.padding_share, 4),
            epoch=update.position.epoch,
            skipped=self.progress.skipped,
            planned_steps=self.budget.steps,
            **{name: _finite(value) for name, value in validated.items()},
        )


def _finite(value: float) -> float | None:
    """JSON has no word for the others."""
    return value if math.isfinite(value) else None
