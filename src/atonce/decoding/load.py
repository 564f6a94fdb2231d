"""Opening a run: the model it trained, as what it was trained for."""

from pathlib import Path
from typing import Literal, overload

import torch

from atonce.data.config import Task
from atonce.data.images import ImageShape
from atonce.data.io_spec import IOSpec, Labels
from atonce.decoding.classifier import Classifier
from atonce.decoding.image_reader import ImageReader
from atonce.decoding.predictor import restore
from atonce.decoding.translator import Translator
from atonce.errors import wrong_task
from atonce.models.seq2seq import Seq2Seq
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import Recipe


def system_of(
    model: Seq2Seq, io_spec: IOSpec, recipe: Recipe, *, name: str = "model"
) -> Translator | ImageReader | Classifier:
    """A model as what it was trained for."""
    if isinstance(io_spec.target, Labels):
        return Classifier.of(model, io_spec, recipe, name=name)
    if isinstance(io_spec.source, ImageShape):
        return ImageReader.of(model, io_spec, recipe, name=name)
    return Translator.of(model, io_spec, recipe, name=name)


@overload
def load(
    run: str | Path,
    *,
    task: Literal["translation", "summarization"],
    device: str | torch.device | None = None,
    fast: bool = False,
) -> Translator: ...
@overload
def load(
    run: str | Path,
    *,
    task: Literal["reading"],
    device: str | torch.device | None = None,
    fast: bool = False,
) -> ImageReader: ...
@overload
def load(
    run: str | Path,
    *,
    task: Literal["classification"],
    device: str | torch.device | None = None,
    fast: bool = False,
) -> Classifier: ...
@overload
def load(
    run: str | Path, *, device: str | torch.device | None = None, fast: bool = False
) -> Translator | ImageReader | Classifier: ...
def load(
    run: str | Path,
    *,
    task: Task | None = None,
    device: str | torch.device | None = None,
    fast: bool = False,
) -> Translator | ImageReader | Classifier:
    """The model of a run folder, ready to use, on a GPU where there is one, unless `device` is given.

    What it is depends on what it was trained for: a Translator (which also summarizes), an ImageReader or a
    Classifier. `task` says which is expected ("translation", "summarization", "reading", "classification"),
    so that type checkers know it, too. Raises RunError if it is missing, damaged, of a newer format, or was
    trained for another task.

    `fast`: outputs that are about as good, not the same, in less time on a CPU. Where it can, it multiplies
    in eight bits; with numba, search is compiled. Without, beam search over texts looks at short lists: what
    tokens they hold is learned from the training pairs the first time and kept in the run.
    """
    folder = RunFolder.open(run)
    if task is not None:
        _check_task(folder, task)
    found = restore(folder, device=device, fast=fast)
    return system_of(found.model, found.io_spec, found.recipe, name=found.name)


def _check_task(folder: RunFolder, task: Task) -> None:
    """Raises RunError, before weights are read."""
    trained_for = folder.recipe.data.task
    if str(task).replace("summarisation", "summarization") != trained_for:  # as earlier versions spelt it
        fix = f'use: atonce.load(run, task="{trained_for}")'
        raise wrong_task(folder.path, task, trained_for, fix=fix)
