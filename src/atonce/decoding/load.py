"""Opening a run: the model it trained, as what it was trained for."""

from pathlib import Path
from typing import Literal, overload

import torch

from atonce.data.config import COMMANDS, Task
from atonce.data.ends import Ends
from atonce.data.images import ImageShape
from atonce.data.labels import Labels
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.classifier import Classifier
from atonce.decoding.image_reader import ImageReader
from atonce.decoding.translator import Translator
from atonce.errors import RunError
from atonce.fast import accelerate
from atonce.fast.lexicon import lexicon_of
from atonce.fast.quantization import has_int8_hardware
from atonce.fast.shortlist import Shortlist
from atonce.models.build import build_model
from atonce.models.device import choose_device
from atonce.models.seq2seq import Seq2Seq
from atonce.models.weights import set_weights
from atonce.progress import progress
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import Recipe


def model_for(recipe: Recipe, ends: Ends) -> Seq2Seq:
    """The recipe's model, with fresh weights from torch's random state."""
    only_labels = isinstance(ends.source, ImageShape) and isinstance(ends.target, Labels)
    return build_model(
        recipe.model,
        0 if only_labels else ends.tokenizer.size,
        image=ends.source if isinstance(ends.source, ImageShape) else None,
        labels=len(ends.target) if isinstance(ends.target, Labels) else None,
    )


def system_of(
    model: Seq2Seq, ends: Ends, recipe: Recipe, *, shortlist: Shortlist | None = None, name: str = "model"
) -> Translator | ImageReader | Classifier:
    """A model as what it was trained for. `shortlist`: for one from text to text."""
    longest = recipe.data.max_length
    if isinstance(ends.target, Labels):
        return Classifier(model, ends, longest_source=longest, name=name)
    if isinstance(ends.source, ImageShape):
        return ImageReader(model, ends.source, ends.target, recipe.decoding, name=name)
    whole = recipe.data.task == "summarisation"
    return Translator(
        model, ends.tokenizer, recipe.decoding, longest_source=longest, whole=whole, shortlist=shortlist,
        name=name,
    )  # fmt: skip


@overload
def load(
    run: str | Path,
    *,
    task: Literal["translation", "summarisation"],
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

    What it is depends on what it was trained for: a Translator (which also summarises), an ImageReader or a
    Classifier. `task` says which is expected ("translation", "summarisation", "reading", "classification"),
    so that type checkers know it, too. Raises RunError if it is missing, damaged, of a newer format, or was
    trained for another task.

    `fast`: outputs that are about as good, not the same, in less time on a CPU. Where it can, it multiplies
    in eight bits; with numba, search is compiled. Without, beam search over texts looks at short lists: what
    pieces they hold is learned from the training pairs the first time and kept in the run.
    """
    folder = RunFolder.open(run)
    if task is not None:
        _check_task(folder, task)
    ends = Ends.open(folder.path)
    model = model_for(folder.recipe, ends)
    set_weights(model, folder.load_weights(), origin=folder.path / "model.safetensors")
    model = model.to(choose_device(device)).eval()
    shortlist = None
    if fast and choose_device(device).type == "cpu":
        if has_int8_hardware():
            accelerate(model)
        if model.engine is not None and not isinstance(ends.target, Labels):  # of which none is searched
            with progress("Compiling for this machine, once"):
                model.engine.warm_up()
        if model.engine is None and isinstance(ends.source, Tokenizer) and isinstance(ends.target, Tokenizer):
            shortlist = Shortlist.of(lexicon_of(folder.path, ends.tokenizer.size))
    return system_of(model, ends, folder.recipe, shortlist=shortlist, name=folder.path.resolve().name)


def load_translator(
    run: str | Path, *, device: str | torch.device | None = None, fast: bool = False
) -> Translator:
    """As `load`, where only a model from text to text will do. Raises RunError if it is another."""
    system = load(run, device=device, fast=fast)
    if not isinstance(system, Translator):
        raise _other(run, "texts of texts")
    return system


def load_classifier(run: str | Path, *, device: str | torch.device | None = None) -> Classifier:
    """As `load`, where only a classifier will do. Raises RunError if it is none."""
    system = load(run, device=device)
    if not isinstance(system, Classifier):
        raise _other(run, "labels")
    return system


def load_reader(run: str | Path, *, device: str | torch.device | None = None) -> ImageReader:
    """As `load`, where only a model from images to text will do. Raises RunError if it is another."""
    system = load(run, device=device)
    if not isinstance(system, ImageReader):
        raise _other(run, "texts of images")
    return system


def _check_task(folder: RunFolder, task: Task) -> None:
    """Raises RunError, before weights are read."""
    trained_for = folder.recipe.data.task
    if task != trained_for:
        raise RunError(
            f"{folder.path} was not trained for {task}",
            why=f"it was trained for {trained_for}",
            fix=f'use: atonce.load(run, task="{trained_for}")',
        )


def _other(run: str | Path, wanted: str) -> RunError:
    task = RunFolder.open(run).recipe.data.task
    return RunError(
        f"{run} does not make {wanted}",
        why=f"it was trained for {task}",
        fix=f"use: atonce {COMMANDS[task]} {run}",
    )
