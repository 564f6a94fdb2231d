"""The smallest training that has all its parts, and how to tell whether two of them came to the same."""

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import tomli_w
from safetensors import safe_open

from atonce.runs.folder import RunFolder
from atonce.runs.recipe import Recipe

_SELF_ATTENTION = {"kind": "transformer", "layers": 1, "heads": 2, "feed_forward": 16, "dropout": 0.2}
TRANSFORMER = {"dim": 16, "encoder": _SELF_ATTENTION, "decoder": _SELF_ATTENTION}
GRU = {
    "dim": 16,
    "encoder": {"kind": "gru", "dropout": 0.2},
    "decoder": {"kind": "gru", "attention": "additive", "dropout": 0.2},
}
DATES = {"kind": "dates", "pairs": 200, "valid_size": 8, "test_size": 6}
TRAINING = {"steps": 12, "batch_tokens": 256, "validate_every": 6, "validation_sentences": 2, "warmup": 2}

_CLOCKED = ("seconds", "target_tokens_per_second", "padding_share", "update_seconds", "validation_updates")


def values(**changed: dict[str, Any]) -> dict[str, Any]:
    """A recipe as it is read from TOML.

    The sections given are merged into it; a model, or a section that says its kind, takes the other's place.
    """
    made: dict[str, Any] = {
        "data": DATES,
        "vocabulary": {"size": 400},
        "model": TRANSFORMER,
        "training": TRAINING,
        "decoding": {"beam": 1, "max_length_ratio": 0.5},
    }
    for section, keys in changed.items():
        instead = section == "model" or "kind" in keys
        made[section] = keys if instead else {**made[section], **keys}
    return deepcopy(made)


def recipe(**changed: dict[str, Any]) -> Recipe:
    return Recipe.parse(values(**changed), origin="a test")


def write_recipe(path: Path, **changed: dict[str, Any]) -> Path:
    path.write_text(tomli_w.dumps(values(**changed)), encoding="utf-8")
    return path


def begun(folder: Path, recipe: Recipe, prepared: Path) -> Path:
    """A run whose data are prepared and whose training can be resumed, as if it was killed right then."""
    shutil.copytree(prepared, folder)
    return RunFolder.create(folder, recipe).path


def tensor_bytes(path: Path) -> dict[str, bytes]:
    """The tensors of a .safetensors file, bit for bit."""
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118


def what_was_learned(run: Path) -> dict[str, Any]:
    """All that a training leaves behind, but for how long it took."""
    (checkpoint,) = (run / "checkpoints").iterdir()
    progress = json.loads((checkpoint / "progress.json").read_text())
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    for entry in (progress, *log):
        for clocked in _CLOCKED:
            entry.pop(clocked, None)
    return {
        "weights": tensor_bytes(run / "model.safetensors"),
        "checkpoint": checkpoint.name,
        "state": tensor_bytes(checkpoint / "state.safetensors"),
        "progress": progress,
        "log": log,
    }


def everything_in(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, to see that nothing was lost."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
