"""Opening a run: the model it trained, as what it was trained for."""

from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Literal, overload

import torch
from safetensors import SafetensorError, safe_open

from atonce import stored
from atonce.data.config import COMMANDS, Task
from atonce.data.examples import Examples
from atonce.data.images import ImageShape
from atonce.data.io_spec import IOSpec
from atonce.data.labels import Labels
from atonce.data.lexicon import ROUNDS, Lexicon
from atonce.data.prepare import open_prepared
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.classifier import Classifier
from atonce.decoding.image_reader import ImageReader
from atonce.decoding.shortlist import Shortlist
from atonce.decoding.translator import Translator
from atonce.errors import DiskError, RunError, wrong_task
from atonce.layers.eight_bits import can_multiply_eight_bits
from atonce.models.build import build_model
from atonce.models.device import choose_device
from atonce.models.seq2seq import Seq2Seq
from atonce.models.weights import set_weights
from atonce.progress import progress
from atonce.runs.folder import RunFolder, load_tensors, save_tensors
from atonce.runs.recipe import Recipe


def model_for(recipe: Recipe, ends: IOSpec) -> Seq2Seq:
    """The recipe's model, with fresh weights from torch's random state."""
    only_labels = isinstance(ends.source, ImageShape) and isinstance(ends.target, Labels)
    return build_model(
        recipe.model,
        0 if only_labels else ends.tokenizer.size,
        image=ends.source if isinstance(ends.source, ImageShape) else None,
        labels=len(ends.target) if isinstance(ends.target, Labels) else None,
    )


def system_of(
    model: Seq2Seq, ends: IOSpec, recipe: Recipe, *, shortlist: Shortlist | None = None, name: str = "model"
) -> Translator | ImageReader | Classifier:
    """A model as what it was trained for. `shortlist`: for one from text to text."""
    longest = recipe.data.max_length
    if isinstance(ends.target, Labels):
        return Classifier(model, ends, longest_source=longest, name=name)
    if isinstance(ends.source, ImageShape):
        return ImageReader(model, ends.source, ends.target, recipe.decoding, name=name)
    whole = recipe.data.task == "summarization"
    return Translator(
        model, ends.tokenizer, recipe.decoding, longest_source=longest, whole=whole, shortlist=shortlist,
        name=name,
    )  # fmt: skip


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
    pieces they hold is learned from the training pairs the first time and kept in the run.
    """
    folder = RunFolder.open(run)
    if task is not None:
        _check_task(folder, task)
    ends = IOSpec.open(folder.path)
    model = model_for(folder.recipe, ends)
    set_weights(model, folder.load_weights(), origin=folder.path / "model.safetensors")
    model = model.to(choose_device(device)).eval()
    fast = fast and choose_device(device).type == "cpu"
    if fast and can_multiply_eight_bits():
        model.round_to_eight_bits()
    if model.compiled is not None and not isinstance(ends.target, Labels):  # of which none is searched
        with progress("Compiling for this machine, once"):
            model.compiled.warm_up()
    of_texts = isinstance(ends.source, Tokenizer) and isinstance(ends.target, Tokenizer)
    listed = fast and of_texts and model.compiled is None
    shortlist = Shortlist.of(_lexicon(folder, ends.tokenizer)) if listed else None
    return system_of(model, ends, folder.recipe, shortlist=shortlist, name=folder.path.resolve().name)


def _lexicon(folder: RunFolder, tokenizer: Tokenizer) -> Lexicon:
    """The run's, learned if it has none yet, or if what it has is damaged: it comes out the same."""
    path = folder.path / "lexicon.safetensors"
    kept = _kept_lexicon(path, tokenizer.size)
    if kept is not None:
        return kept
    examples = open_prepared(folder.path).train
    assert isinstance(examples, Examples)
    with progress("Learning a lexicon", total=ROUNDS) as advance:
        lexicon = Lexicon.learn(examples, tokenizer.size, advance=advance)
    with suppress(DiskError):  # a run that cannot be written to is as good; it learns again next time
        found = {"likely": torch.from_numpy(lexicon.likely), "common": torch.from_numpy(lexicon.common)}
        tensors = {name: pieces.int() for name, pieces in found.items()}
        save_tensors(path, tensors, about={"sha256": _sum_of(tensors)})
    return lexicon


def _kept_lexicon(path: Path, size: int) -> Lexicon | None:
    """What was learned before, if it is whole. Without a sum (of older versions), as far as can be seen."""
    try:
        tensors = load_tensors(path)
        with safe_open(path, framework="pt") as file:
            said = (file.metadata() or {}).get("sha256")
    except (RunError, OSError, SafetensorError):
        return None
    whole = tensors.keys() == {"likely", "common"} and all(
        pieces.dtype == torch.int32 and pieces.ndim == dimensions and pieces.numel()
        and pieces.min() >= 0 and pieces.max() < size
        for pieces, dimensions in ((tensors["likely"], 2), (tensors["common"], 1))
    )  # fmt: skip
    if not whole or len(tensors["likely"]) != size:
        return None
    before_sums = said is None and not stored.names(path.parent, "examples/")
    if not before_sums and said != _sum_of(tensors):
        return None
    return Lexicon(tensors["likely"].long().numpy(), tensors["common"].long().numpy())


def _sum_of(tensors: Mapping[str, torch.Tensor]) -> str:
    return sha256(b"".join(tensors[name].numpy().tobytes() for name in sorted(tensors))).hexdigest()


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
        fix = f'use: atonce.load(run, task="{trained_for}")'
        raise wrong_task(folder.path, task, trained_for, fix=fix)


def _other(run: str | Path, wanted: str) -> RunError:
    task = RunFolder.open(run).recipe.data.task
    return wrong_task(run, wanted, task, fix=f"use: atonce {COMMANDS[task]} {run}")
