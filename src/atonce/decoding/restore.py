"""What a run folder holds of a model, read back: weights, what it reads and writes, its recipe."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

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
from atonce.decoding.shortlist import Shortlist
from atonce.errors import DiskError, RunError, wrong_task
from atonce.layers.eight_bits import can_multiply_eight_bits
from atonce.models.build import build_model
from atonce.models.device import choose_device
from atonce.models.seq2seq import Seq2Seq
from atonce.models.weights import set_weights
from atonce.progress import progress
from atonce.runs.folder import RunFolder, load_tensors, save_tensors
from atonce.runs.recipe import Recipe


@dataclass(frozen=True)
class Restored:
    """A trained model, ready to compute, and what it takes to ask it for outputs."""

    model: Seq2Seq
    ends: IOSpec
    recipe: Recipe
    shortlist: Shortlist | None
    """Pieces that beam search over texts looks at; None: all."""
    name: str
    """That of the run folder."""


def model_for(recipe: Recipe, ends: IOSpec) -> Seq2Seq:
    """The recipe's model, with fresh weights from torch's random state."""
    only_labels = isinstance(ends.source, ImageShape) and isinstance(ends.target, Labels)
    return build_model(
        recipe.model,
        0 if only_labels else ends.tokenizer.size,
        image=ends.source if isinstance(ends.source, ImageShape) else None,
        labels=len(ends.target) if isinstance(ends.target, Labels) else None,
    )


def restore(folder: RunFolder, *, device: str | torch.device | None = None, fast: bool = False) -> Restored:
    """See `opening.load`. Raises RunError for what is missing, damaged or of a newer format."""
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
    return Restored(model, ends, folder.recipe, shortlist, folder.path.resolve().name)


def trained_for(run: str | Path, tasks: Collection[Task], makes: str) -> RunFolder:
    """A run folder of one of these tasks. Raises RunError, before weights are read, for one that does not
    make what is wanted, and says which command does."""
    folder = RunFolder.open(run)
    task = folder.recipe.data.task
    if task not in tasks:
        raise wrong_task(run, makes, task, fix=f"use: atonce {COMMANDS[task]} {run}")
    return folder


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
