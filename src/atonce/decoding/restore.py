"""What a run folder holds of a model, read back: weights, what it reads and writes, its recipe."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch

from atonce.data.config import COMMANDS, Task
from atonce.data.images import ImageShape
from atonce.data.io_spec import IOSpec
from atonce.data.labels import Labels
from atonce.data.tokenizer import Tokenizer
from atonce.errors import wrong_task
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


@dataclass(frozen=True)
class Restored:
    """A trained model, ready to compute, and what it takes to ask it for outputs."""

    model: Seq2Seq
    io_spec: IOSpec
    recipe: Recipe
    shortlist: Shortlist | None
    """Tokens that beam search over texts looks at; None: all."""
    name: str
    """That of the run folder."""


def model_for(recipe: Recipe, io_spec: IOSpec) -> Seq2Seq:
    """The recipe's model, with fresh weights from torch's random state."""
    only_labels = isinstance(io_spec.source, ImageShape) and isinstance(io_spec.target, Labels)
    return build_model(
        recipe.model,
        0 if only_labels else io_spec.tokenizer.size,
        image=io_spec.source if isinstance(io_spec.source, ImageShape) else None,
        labels=len(io_spec.target) if isinstance(io_spec.target, Labels) else None,
    )


def restore(folder: RunFolder, *, device: str | torch.device | None = None, fast: bool = False) -> Restored:
    """See `opening.load`. Raises RunError for what is missing, damaged or of a newer format."""
    io_spec = IOSpec.open(folder.path)
    model = model_for(folder.recipe, io_spec)
    set_weights(model, folder.load_weights(), origin=folder.path / "model.safetensors")
    model = model.to(choose_device(device)).eval()
    shortlist = None
    if fast and choose_device(device).type == "cpu":
        if has_int8_hardware():
            accelerate(model)
        if model.engine is not None and not isinstance(io_spec.target, Labels):  # of which none is searched
            with progress("Compiling for this machine, once"):
                model.engine.warm_up()
        if (
            model.engine is None
            and isinstance(io_spec.source, Tokenizer)
            and isinstance(io_spec.target, Tokenizer)
        ):
            shortlist = Shortlist.of(lexicon_of(folder.path, io_spec.tokenizer.size))
    return Restored(model, io_spec, folder.recipe, shortlist, folder.path.resolve().name)


def trained_for(run: str | Path, tasks: Collection[Task]) -> RunFolder:
    """A run folder of one of these tasks.

    Raises RunError for another, before weights are read, with the command that it is for.
    """
    folder = RunFolder.open(run)
    task = folder.recipe.data.task
    if task not in tasks:
        raise wrong_task(run, " or ".join(tasks), task, fix=f"use: atonce {COMMANDS[task]} {run}")
    return folder
