"""What every trained model can do, whatever it reads and writes: be read back from its run, and be asked for
outputs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch

from atonce.data.config import COMMANDS, Normalization, Task
from atonce.data.images import ImageShape
from atonce.data.io_spec import IOSpec, Labels
from atonce.decoding.search import SearchOptions
from atonce.errors import wrong_task
from atonce.fast import accelerate_trained
from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.models.device import choose_device
from atonce.models.interface import SearchModel
from atonce.models.seq2seq import Seq2Seq
from atonce.models.threads import computing_on, search_threads
from atonce.models.weights import set_weights
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import Recipe

S = TypeVar("S", bound="Predictor")  # beartype has no answer to typing.Self


@dataclass(frozen=True)
class Restored:
    """A trained model, ready to compute, and what it takes to ask it for outputs."""

    model: Seq2Seq
    io_spec: IOSpec
    recipe: Recipe
    name: str
    """That of the run folder."""


def restore(folder: RunFolder, *, device: str | torch.device | None = None, fast: bool = False) -> Restored:
    """See `load.load`. Raises RunError for what is missing, damaged or of a newer format."""
    io_spec = IOSpec.open(folder.path)
    model = model_for(folder.recipe.model, io_spec)
    set_weights(model, folder.load_weights(), origin=folder.path / "model.safetensors")
    model = model.to(choose_device(device)).eval()
    # An engine is made of a CPU's instructions for eight bits.
    if fast and choose_device(device).type == "cpu":
        accelerate_trained(model, folder.path, io_spec)
    return Restored(model, io_spec, folder.recipe, folder.path.resolve().name)


def model_for(config: ModelConfig, io_spec: IOSpec) -> Seq2Seq:
    """A model that reads and writes this, with fresh weights from torch's random state."""
    image = io_spec.source if isinstance(io_spec.source, ImageShape) else None
    labels = len(io_spec.target) if isinstance(io_spec.target, Labels) else None
    # Neither end has tokens: a table of them would be weights that nothing reaches.
    only_labels = image is not None and labels is not None
    return build_model(config, 0 if only_labels else io_spec.tokenizer.size, image=image, labels=labels)


def trained_for(run: str | Path, tasks: Collection[Task]) -> RunFolder:
    """A run folder of one of these tasks.

    Raises RunError for another, before weights are read, with the command that it is for.
    """
    folder = RunFolder.open(run)
    task = folder.recipe.data.task
    if task not in tasks:
        raise wrong_task(run, " or ".join(tasks), task, fix=f"use: atonce {COMMANDS[task]} {run}")
    return folder


class Predictor(ABC):
    """A trained model with what stands between it and the world."""

    tasks: ClassVar[tuple[Task, ...]]
    """What it is trained for."""

    def __init__(self, model: Seq2Seq, name: str) -> None:
        self.model = model
        self.name = name
        """What figures call it."""

    @classmethod
    def load(
        cls: type[S], run: str | Path, *, device: str | torch.device | None = None, fast: bool = False
    ) -> S:
        """The model of a run folder, ready to use: as `atonce.load`, where only this kind will do.

        Raises RunError as it does, and where the run was trained for something else.
        """
        found = restore(trained_for(run, cls.tasks), device=device, fast=fast)
        return cls.of(found.model, found.io_spec, found.recipe, name=found.name)

    @classmethod
    @abstractmethod
    def of(cls: type[S], model: Seq2Seq, io_spec: IOSpec, recipe: Recipe, *, name: str = "model") -> S:
        """A model that was made by this recipe, with what it reads and writes."""

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @abstractmethod
    def outputs(
        self,
        sources: Sequence[Any],
        *,
        beam: int | None = None,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> list[str]:
        """The best output for each source, in order: a text, or the name of a label.

        `beam`: hypotheses kept at each step, where there are steps. `on_progress` is called with the number
        of outputs (of long texts, segments) made since the last call.
        """

    @property
    def normalization(self) -> Normalization:
        """How the texts that it reads or writes are spelt, and compared with others."""
        return "none"

    def search_model(self, options: SearchOptions) -> SearchModel:
        """What outputs are searched with: the engine of the model, where it serves, or the model itself."""
        engine = self.model.engine
        if engine is None or not engine.serves(
            options.width, drawn=options.temperature > 0, forced=bool(options.prefix)
        ):
            return self.model
        return engine

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Within the block, dropout is off, and a small model has one thread."""
        engine = self.model.engine
        # An engine that deals batches out to threads must have all of them to deal.
        with computing_on(None if engine is not None and engine.side_by_side else self._threads):
            if not self.model.training:
                yield  # to set a hundred modules takes as long as a tenth of a short sentence
                return
            self.model.eval()
            try:
                yield
            finally:
                self.model.train()

    @cached_property
    def _threads(self) -> int | None:
        return search_threads(self.model)
