"""What every trained model can do, whatever it reads and writes: be asked for outputs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from atonce.data.config import Normalization, Task
from atonce.data.io_spec import IOSpec
from atonce.data.tokenizer import PAD
from atonce.decoding.restore import restore, trained_for
from atonce.fast.shortlist import Shortlist
from atonce.layers.attention import is_watched
from atonce.layers.masks import padding_mask
from atonce.models.interface import SearchModel
from atonce.models.seq2seq import Seq2Seq
from atonce.models.threads import computing_on, search_threads
from atonce.runs.recipe import Recipe
from atonce.shapes import Bool, Int

S = TypeVar("S", bound="Predictor")  # beartype has no answer to typing.Self


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
        return cls.of(found.model, found.io_spec, found.recipe, shortlist=found.shortlist, name=found.name)

    @classmethod
    @abstractmethod
    def of(
        cls: type[S],
        model: Seq2Seq,
        io_spec: IOSpec,
        recipe: Recipe,
        *,
        shortlist: Shortlist | None = None,
        name: str = "model",
    ) -> S:
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

    @property
    def searched(self) -> SearchModel:
        """What outputs are searched with: the model, or its engine, which cannot be watched."""
        engine = self.model.engine
        return self.model if engine is None or is_watched() else engine

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Within the block, dropout is off, and a small model has one thread."""
        with computing_on(None if self.model.engine else self._threads):
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


def padded(
    sequences: Sequence[Sequence[int]], device: torch.device
) -> tuple[Int[Tensor, "batch len"], Bool[Tensor, "batch len"]]:
    """Sequences of tokens as rows of equal length, and which positions are real."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    rows = torch.full((len(sequences), int(lengths.max())), PAD)
    for row, sequence in zip(rows, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence)
    return rows.to(device), padding_mask(lengths, rows.shape[1]).to(device)
