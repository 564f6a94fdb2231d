"""A training from recipe to run folder, with all that is around the loop: log, validation, checkpoints."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from atonce.data.prepare import Prepared, open_prepared, prepare
from atonce.decoding.translator import Translator
from atonce.errors import AtonceError, RunError, TrainingError
from atonce.models.build import build_model
from atonce.models.weights import weights_of
from atonce.runs.folder import RunFolder, save_tensors
from atonce.runs.recipe import Recipe
from atonce.training.average import WeightAverage
from atonce.training.budget import Budget
from atonce.training.checkpoint import Learner, Progress, load_checkpoint, save_checkpoint
from atonce.training.loop import Update, updates
from atonce.training.optimizers import build_optimizers
from atonce.training.stream import Position, batches_from
from atonce.training.validation import Validation, validate

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
    seconds: float
    """Since the training began, earlier sittings included."""
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

    The folder's model is the average of the weights (or the weights) with the lowest validation loss so far,
    so it can be used while training goes on. `watch` is called after each step. `quiet`: no progress bars
    while the data are prepared. The device is a GPU where there is one, unless given.

    A resumed training takes everything from the folder, `recipe` must be the same but for its budget.
    Raises RunError (the folder holds a run already, or is damaged), DataError, TrainingError, DiskError.
    """
    run = _open_run(recipe, Path(folder), resume=resume)
    prepared = _prepared(run, quiet=quiet)
    return _Training(run, prepared, _device(device), watch).run_to_end()


def _open_run(recipe: Recipe, folder: Path, *, resume: bool) -> RunFolder:
    if not resume or not (folder / "recipe.toml").exists():
        return RunFolder.create(folder, recipe)
    run = RunFolder.open(folder)
    if run.recipe != recipe:
        changed = [name for name in Recipe.model_fields if getattr(run.recipe, name) != getattr(recipe, name)]
        raise RunError(
            f"the recipe is not the one {folder} was begun with",
            why=f"it differs in {', '.join(changed)}; a resumed training goes on exactly as it began",
            fix=f"resume with the run's own recipe, {folder / 'recipe.toml'}, or train into another folder",
        )
    return run


def _prepared(run: RunFolder, *, quiet: bool) -> Prepared:
    if (run.path / "data.json").exists():
        return open_prepared(run.path)
    try:
        return prepare(run.recipe.data, run.recipe.vocabulary, run.path, quiet=quiet)
    except AtonceError:
        # Nothing was trained: leave no folder behind that would be in the way of a second try.
        (run.path / "recipe.toml").unlink()
        if not any(run.path.iterdir()):
            run.path.rmdir()
        raise


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator or torch.device("cpu")
    return torch.device(device)


class _Training:
    """One sitting of a training. Its methods are in the order of a training's life."""

    def __init__(
        self, run: RunFolder, prepared: Prepared, device: torch.device, watch: Callable[[Report], None]
    ) -> None:
        self.run = run
        self.prepared = prepared
        self.config = run.recipe.training
        self.watch = watch
        torch.manual_seed(self.config.seed)
        model = build_model(run.recipe.model, prepared.tokenizer.size).to(device)
        average = WeightAverage(model, self.config.average) if self.config.average else None
        self.learner = Learner(model, build_optimizers(model, self.config), average)
        self.translator = Translator(model, prepared.tokenizer, run.recipe.decoding)
        steps = self.config.steps or (None if self.config.minutes else DEFAULT_STEPS)
        self.progress = load_checkpoint(run.checkpoints, self.learner) or Progress(
            0, Position(0, 0), steps, 0.0
        )
        self.budget = Budget(self.progress.planned_steps, self.config.minutes)
        run.rewind_log(self.progress.step)

    def run_to_end(self) -> RunFolder:
        began = time.perf_counter() - self.progress.seconds
        speed = _Speed()
        for update in self._updates():
            speed.count(update)
            self._note(update, time.perf_counter() - began)
            validation = None
            if self._is_due(self._validate_every, update):
                with speed.paused():
                    validation = self._validate()
            self._log(update, speed, validation)
            if validation or self._is_due(self.config.save_every, update):
                with speed.paused():
                    save_checkpoint(self.run.checkpoints, self.learner, self.progress)
            self.watch(
                Report(update, self.budget.steps, self.progress.seconds, speed.tokens_per_second, validation)
            )
            if self.progress.stopped_early:
                break
        return self.run

    def _updates(self) -> Iterator[Update]:
        if self.progress.stopped_early:
            return iter(())
        stream = batches_from(
            self.progress.position,
            self.prepared.train,
            self.prepared.tokenizer,
            batch_tokens=self.config.batch_tokens,
            seed=self.config.seed,
        )
        return updates(
            *(
                self.learner.model,
                self.learner.optimizers,
                self.learner.average,
                stream,
                self.config,
                self.budget,
            ),
            done=self.progress.step,
            seconds_before=self.progress.seconds,
        )

    def _note(self, update: Update, seconds: float) -> None:
        """Move on. Raises TrainingError when too many steps in a row came to nothing."""
        self.progress = replace(
            self.progress,
            step=update.step,
            position=update.position,
            planned_steps=self.budget.steps,
            seconds=seconds,
            skipped=self.progress.skipped + update.skipped,
            skipped_in_a_row=self.progress.skipped_in_a_row + 1 if update.skipped else 0,
        )
        if self.progress.skipped_in_a_row >= MOST_SKIPPED_IN_A_ROW:
            path = self.run.path / f"nonfinite-step-{update.step}.safetensors"
            save_tensors(path, update.batches[0].tensors())
            raise TrainingError(
                f"training stopped at step {update.step}",
                why=f"loss or gradient were not finite {MOST_SKIPPED_IN_A_ROW} times in a row",
                fix="lower training.learning_rate and training.muon_learning_rate, or use "
                f"--set training.precision=float32; the last batch is in {path}",
            )

    @property
    def _validate_every(self) -> int | None:
        if self.config.validate_every is not None or self.budget.steps is None:
            return self.config.validate_every
        return math.ceil(self.budget.steps / VALIDATIONS)

    def _is_due(self, every: int | None, update: Update) -> bool:
        return update.step == self.budget.steps or (every is not None and update.step % every == 0)

    def _validate(self) -> Validation:
        """Validate the weights to be kept, and keep them if they are the best so far."""
        average, model = self.learner.average, self.learner.model
        if average:
            average.swap(model)
        validation = validate(
            self.translator,
            self.prepared,
            sentences=self.config.validation_sentences,
            batch_tokens=self.config.batch_tokens,
        )
        best = self.progress.best_loss
        if best is None or validation.loss < best:
            self.run.save_weights(weights_of(model))
            self.progress = replace(self.progress, best_loss=validation.loss, validations_since_best=0)
        else:
            self.progress = replace(
                self.progress, validations_since_best=self.progress.validations_since_best + 1
            )
        if average:
            average.swap(model)
        patience = self.config.patience
        if patience is not None and self.progress.validations_since_best >= patience:
            self.progress = replace(self.progress, stopped_early=True)
        return validation

    def _log(self, update: Update, speed: "_Speed", validation: Validation | None) -> None:
        if validation is None and update.step % LOG_EVERY and not update.skipped:
            return
        self.run.log(
            step=update.step,
            seconds=round(self.progress.seconds, 3),
            loss=update.loss if math.isfinite(update.loss) else None,
            rate_factor=update.rate_factor,
            gradient_norm=update.gradient_norm if math.isfinite(update.gradient_norm) else None,
            target_tokens_per_second=round(speed.tokens_per_second, 1),
            padding_share=round(speed.padding_share, 4),
            epoch=update.position.epoch,
            skipped=self.progress.skipped,
            planned_steps=self.budget.steps,
            **({"valid_loss": validation.loss, "valid_chrf": validation.chrf} if validation else {}),
        )


class _Speed:
    """Target pieces in a second and padding, lately: a running mean over some tens of steps."""

    def __init__(self) -> None:
        self.tokens = self.seconds = self.padding_share = 0.0
        self._last = time.perf_counter()

    def count(self, update: Update) -> None:
        now = time.perf_counter()
        keep = 0.97 if self.seconds else 0.0
        self.tokens = keep * self.tokens + (1 - keep) * update.target_tokens
        self.seconds = keep * self.seconds + (1 - keep) * (now - self._last)
        self.padding_share = keep * self.padding_share + (1 - keep) * update.padding_share
        self._last = now

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within the block, the clock stands."""
        began = time.perf_counter()
        yield
        self._last += time.perf_counter() - began

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0
