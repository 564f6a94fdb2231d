"""Runs of random weights, whose data are gone: made at once, where it does not matter what was learned."""

from pathlib import Path
from typing import Any

import torch

import tiny
from atonce.data.io_spec import IOSpec
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.predictor import model_for
from atonce.models.weights import weights_of
from atonce.runs.folder import RunFolder


def random_run(
    path: Path, tokenizer: Tokenizer, model: dict[str, Any], **sections: dict[str, Any]
) -> RunFolder:
    """All weights matter: none is zero, and no norm passes on what it norms as it is."""
    run = RunFolder.create(path, tiny.recipe(model=model, **sections))
    tokenizer.save(path / "tokenizer.model")
    torch.manual_seed(0)
    weights = weights_of(model_for(run.recipe.model, IOSpec(tokenizer, tokenizer)))
    run.save_weights({name: weight + 0.1 * torch.randn_like(weight) for name, weight in weights.items()})
    return run
