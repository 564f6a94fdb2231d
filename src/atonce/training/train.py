"""A training from recipe to run folder, with all that is around the loop: log, validation, checkpoints."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from atonce import stored
from atonce.config import differences
from atonce.data.batches import batches_from
from atonce.data.config import Task
from atonce.data.normalization import compared
from atonce.data.prepare import Prepared, open_prepared, prepare, remove_prepared
from atonce.decoding.load import system_of
from atonce.decoding.predictor import Predictor, model_for
from atonce.disk import owned, place
from atonce.errors import RESTORE, RunError, TrainingError, damaged
from atonce.evaluation.tasks import VALIDATED
from atonce.models.device import choose_device
from atonce.models.threads import MOST_THREADS, Threads, computing_on, training_threads
from atonce.models.weights import check_weights, weights_of
from atonce.runs.folder import RunFolder, resumable, save_tensors, without_recipe
from atonce.runs.json_lines import checkpoints_in
from atonce.runs.recipe import Recipe, TrainingConfig
from atonce.seeds import torch_seed
from atonce.training.budget import DEFAULT_STEPS, Budget, Clock, StepBudget, TimeBudget
from atonce.training.callbacks import (
    Callback,
    LogProgress,
    Speed,
    TrainingEvent,
    Validation,
    told_at_the_end,
)
from atonce.training.checkpoint import Learner, Progress, load_checkpoint, save_checkpoint
from atonce.training.distributed import Ranks, together, was_restarted
from atonce.training.loop import Update, updates
from atonce.training.loss import mean_loss
from atonce.training.memory import check_recipe_fits, check_training_fits
from atonce.training.optimizers import WeightAverage, build_optimizers

MOST_SKIPPED_IN_A_ROW = 10
LOG_EVERY = 10


def train(
    recipe: Recipe,
    folder: str | Path,
    *,
    resume: bool = False,
    pause_at: float | None = None,
    device: str | torch.device | None = None,
    callbacks: Sequence[Callback] = (),
    quiet: bool = False,
    has_folder: bool = False,
) -> RunFolder:
    """Train what the recipe says into a run folder; with `resume`, go on with a training that broke off.

    The folder's model is the average of the weights (or the weights) of the best validation so far,
    so it can be used while training goes on. `callbacks` are called after each step. `quiet`: no progress
    bars while the data are prepared. The device is a GPU where there is one, unless given. `pause_at`: leave
    off, to be resumed, after the first step that ends so many seconds after the training began, or later.
    `has_folder`: the caller has the folder (`disk.owned`), and keeps it for what comes after the training.

    A resumed training takes everything from the folder, and `recipe` must be the one it began with; where
    nothing was begun yet, it begins.
    Under `torchrun`, the first process does all but the learning, in which every one has its share.
    Raises RecipeError (it takes more memory than there is), RunError (the folder holds a run already, is
    damaged, or another process trains there), DataError, TrainingError, DiskError.
    """
    folder = place(folder)
    with together(choose_device(device)) as ranks, _having(folder, ranks, already=has_folder):
        if ranks.is_first:
            check_recipe_fits(recipe, ranks.device)
            _prepare(_open_run(recipe, folder, resume=resume or was_restarted()), ranks, quiet=quiet)
        # A barrier: nothing is told, but the others come past this only when the first process has prepared
        # the data, which they open next.
        ranks.broadcast(0.0)
        run = RunFolder.open(folder)
        return _Training(run, open_prepared(run.path), ranks, callbacks).run_until(pause_at)


@contextmanager
def _having(folder: Path, ranks: Ranks, *, already: bool) -> Iterator[None]:
    """Within the block, no other training has the folder. The first process alone writes there."""
    if not ranks.is_first:
        yield
        return
    with resumable(folder), nullcontext() if already else owned(folder, "trains"):
        yield


def _open_run(recipe: Recipe, folder: Path, *, resume: bool) -> RunFolder:
    if not (folder / "recipe.toml").exists() and os.path.lexists(folder / "data.json"):
        raise without_recipe(folder, "data.json")
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


def _prepare(run: RunFolder, ranks: Ranks, *, quiet: bool) -> None:
    """Store the run's data in it, the first time. Raises RecipeError if a training with them does not fit."""
    if (run.path / "data.json").exists() or run.checkpoints.exists():
        if not checkpoints_in(run.checkpoints):  # what has come to one has fitted
            check_training_fits(run.recipe, open_prepared(run.path), ranks.device, processes=ranks.count)
        return
    try:
        prepared = prepare(run.recipe.data, run.recipe.vocabulary, run.path, quiet=quiet)
        check_training_fits(run.recipe, prepared, ranks.device, processes=ranks.count)
    except BaseException:
        # Nothing was trained: leave no folder behind that would be in the way of a second try.
        remove_prepared(run.path)
        (run.path / "recipe.toml").unlink()
        stored.forget_missing(run.path)
        raise


def validate(system: Predictor, prepared: Prepared, task: Task, config: TrainingConfig) -> Validation:
    """The loss over all validation pairs, and the task's score over some of them, evenly spread."""
    count = len(prepared.valid_pairs)
    places = np.linspace(0, count - 1, min(config.validation_sentences, count)).astype(int)
    chosen = [prepared.valid_pairs[place] for place in places]
    outputs = system.outputs([pair.source for pair in chosen], beam=1)
    references = compared([pair.target for pair in chosen], system.normalization)
    metric, score = VALIDATED[task]
    loss = mean_loss(
        system.model, prepared.valid, batch_tokens=config.batch_tokens, smoothing=config.label_smoothing
    )
    return Validation(loss, metric, score(compared(outputs, system.normalization), references))


class _Training:
    """One session of a training. Its methods are in the order of a training's life."""

    def __init__(
        self, run: RunFolder, prepared: Prepared, ranks: Ranks, callbacks: Sequence[Callback]
    ) -> None:
        since_start = Clock()
        self.run = run
        self.prepared = prepared
        self.config = run.recipe.training
        self.ranks = ranks
        self.callbacks = [*callbacks, *([LogProgress(run.path.name)] if ranks.is_first else [])]
        # Before the weights are drawn. What comes after a resume follows the state of its checkpoint.
        torch.manual_seed(torch_seed(self.config.seed))
        model = model_for(run.recipe.model, prepared.io_spec).to(ranks.device)
        ranks.take_weights_of_first(model)
        average = WeightAverage(model, self.config.average) if self.config.average else None
        self.learner = Learner(model, build_optimizers(model, self.config), average)
        self.system = system_of(model, prepared.io_spec, run.recipe)
        resumed = load_checkpoint(run.checkpoints, self.learner, tidy=ranks.is_first)
        self.threads = self._threads(resumed)
        self.progress = resumed or self._beginning()
        self._check_goes_on()
        if ranks.is_first:
            # What was logged behind the checkpoint is trained, and logged, again.
            run.rewind_log(self.progress.step)
        # Opening the run and its checkpoint is part of the time that was given.
        self.clock = Clock(self.progress.seconds + since_start.seconds)
        self.budget = self._budget()
        self.speed = Speed()

    def _check_goes_on(self) -> None:
        """Raises RunError where the rest cannot come out as it would have."""
        if self.config.steps is not None and self.progress.planned_steps != self.config.steps:
            raise damaged(
                f"the checkpoint of {self.run.path}",
                f"it has planned {self.progress.planned_steps} steps, and the recipe {self.config.steps}",
                fix=f"{RESTORE} in another folder",
            )
        if self.progress.least_cost is not None:  # a validation was the best so far
            origin = self.run.path / "model.safetensors"
            check_weights(self.learner.model, self.run.load_weights(), origin=origin)

    def _beginning(self) -> Progress:
        planned = self.config.steps or (None if self.config.minutes else DEFAULT_STEPS)
        return Progress(planned_steps=planned, threads=self._thread_count or 0)

    @property
    def _thread_count(self) -> int | None:
        return None if self.threads is None else self.threads.count

    def _threads(self, resumed: Progress | None) -> Threads | None:
        """What a CPU is to compute with; on a GPU it does not matter."""
        if resumed:
            began = resumed.threads
            return Threads(began, "as the training began") if 1 <= began <= MOST_THREADS else None
        if self.ranks.device.type != "cpu":
            return None
        return training_threads(self.learner.model, self.config.batch_tokens, self.config.threads)

    def _budget(self) -> Budget:
        # The minutes of an older version became steps once and for all, and these are kept to.
        if self.progress.planned_steps is not None:
            return StepBudget(self.progress.planned_steps, self.config.validate_every)
        assert self.config.minutes is not None
        return TimeBudget(
            self.config.minutes,
            self.run.budget,
            validate_every=self.config.validate_every,
            update_seconds=self.progress.update_seconds,
            validation_updates=self.progress.validation_updates,
            done=self.progress.step,
            seconds=self.clock.seconds,
            ranks=self.ranks,
        )

    def run_until(self, pause_at: float | None) -> RunFolder:
        """Train to the end, or until so many seconds are used."""
        if self.progress.stopped_early or (pause_at is not None and self.progress.seconds >= pause_at):
            return self.run
        with computing_on(self._thread_count, binding=True), told_at_the_end(self.callbacks) as tell:
            return self._run_until(pause_at, tell)

    def _run_until(self, pause_at: float | None, tell: Callable[[TrainingEvent], None]) -> RunFolder:
        for update in self._updates():
            self.speed.count(update)
            self.progress = self.progress.after(update)
            self._stop_if_nothing_is_learned(update)
            # Tokens a second are those of learning.
            with self.speed.paused():
                event = self._validate_and_write(update)
            tell(event)
            if self.progress.stopped_early:
                break
            # By the clock of the first: with its own, a process could stop a step before the others, which
            # would wait for it.
            if pause_at is not None and self.ranks.broadcast(self.clock.seconds) >= pause_at:
                if self.ranks.is_first:
                    self._save_checkpoint()
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
            clock=self.clock,
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

    def _validate_and_write(self, update: Update) -> TrainingEvent:
        """What a step has to be followed by, and where the training stands then."""
        began, validation = self.clock.seconds, None
        if self.budget.is_validated(update.step):
            validation = self._validate()
            self.budget.validated(update.step, self.clock.seconds - began)  # the checkpoint keeps that
        event = TrainingEvent(
            update,
            planned_steps=self.budget.expected_steps(update.step),
            share=self.budget.share(update.step),
            tokens_per_second=self.speed.tokens_per_second,
            validation=validation,
            threads=self.threads,
            seconds=self.clock.seconds,
            padding_share=self.speed.padding_share,
            skipped=self.progress.skipped,
        )
        if self.ranks.is_first:
            self._write(event)
        return event

    def _validate(self) -> Validation:
        """Validate the weights to be kept, and keep them if they are the best so far."""
        model, average = self.learner.model, self.learner.average
        # What is validated is what is kept.
        with average.in_place_of_weights(model) if average else nullcontext():
            validation = self._validation_of_first()
            # A score below zero, so that less is better in either case.
            cost = validation.loss if self.config.keep == "loss" else -validation.score
            self.progress = self.progress.validated(cost, patience=self.config.patience)
            if self.progress.validations_since_best == 0 and self.ranks.is_first:
                self.run.save_weights(weights_of(model))
        return validation

    def _validation_of_first(self) -> Validation:
        """What the first process finds; the others are told."""
        task = self.run.recipe.data.task
        # The others have nothing to say: they wait in `broadcast` until the first has found it.
        found = Validation(math.nan, VALIDATED[task][0], math.nan)
        if self.ranks.is_first:
            found = validate(self.system, self.prepared, task, self.config)
        return replace(found, loss=self.ranks.broadcast(found.loss), score=self.ranks.broadcast(found.score))

    def _write(self, event: TrainingEvent) -> None:
        """In this order: a checkpoint stands for all that was done and written up to its step."""
        self._log(event)
        every = self.config.save_every
        if event.validation is not None or (every is not None and event.update.step % every == 0):
            self._save_checkpoint()

    def _save_checkpoint(self) -> None:
        self.progress = replace(
            self.progress,
            seconds=self.clock.seconds,
            update_seconds=self.budget.update_seconds,
            validation_updates=self.budget.validation_updates,
        )
        save_checkpoint(self.run.checkpoints, self.learner, self.progress, lines=self.run.sums_of_lines())

    def _log(self, event: TrainingEvent) -> None:
        update = event.update
        if event.validation or update.step % LOG_EVERY == 0 or update.skipped:
            self.run.log(**event.to_dict())
