"""Sequence models, from recurrence to attention: train them on your text, see what they look at.

import atonce
run = atonce.train("localisation", out="runs/en-de", minutes=3)
model = atonce.load("runs/en-de")
model.translate(["The device is already configured."], beam=5)[0].text
atonce.heatmap(model, "The device is already configured.").save("heatmap.svg")
atonce.evaluate("runs/en-de").scores.bleu
atonce.measure.work_span(torch.nn.LSTM(16, 16, batch_first=True), torch.randn(1, 32, 16)).span
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atonce.decoding.load import load
    from atonce.errors import AtonceError
    from atonce.explain.contexts.context import context
    from atonce.explain.looking import heatmap
    from atonce.explain.record import recorded_attention
    from atonce.studies.comparison.compare import compare
    from atonce.studies.demo import demo
    from atonce.studies.distill import distill
    from atonce.studies.evaluate import evaluate
    from atonce.studies.experiment import train

    measure: Any  # a folder that can be called, which no type can say

__version__ = "0.1.0"
__all__ = [
    "AtonceError",
    "compare",
    "context",
    "demo",
    "distill",
    "evaluate",
    "heatmap",
    "load",
    "recorded_attention",
    "train",
]

_HOMES = {
    "AtonceError": "atonce.errors",
    "compare": "atonce.studies.comparison.compare",
    "context": "atonce.explain.contexts.context",
    "demo": "atonce.studies.demo",
    "distill": "atonce.studies.distill",
    "evaluate": "atonce.studies.evaluate",
    "heatmap": "atonce.explain.looking",
    "load": "atonce.decoding.load",
    "recorded_attention": "atonce.explain.record",
    "train": "atonce.studies.experiment",
}


# A thread of torch that waits for another does so in a loop of 300,000 pauses, 5 ms on our Xeon and thus
# longer than the system gives a thread at a time. On a busy machine hardly anything else would be done
# (`models.threads`). With 10,000 it is as fast on idle cores, with 1,000 not (benchmarks/spin.py). libgomp
# reads this once, when torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def __getattr__(name: str) -> object:
    """Import what is asked for when it is asked for: `import atonce` alone does not import torch."""
    if name == "measure":  # a folder of its own, with `work_span` and `growth`
        return importlib.import_module("atonce.measure")
    if name not in _HOMES:
        raise AttributeError(f"module 'atonce' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """What a notebook completes."""
    return [*__all__, "measure", *(name for name in globals() if name.startswith("__"))]
