"""Sequence models, from recurrence to attention: train them on your text, see what they look at.

import atonce
run = atonce.train("localisation", out="runs/en-de", minutes=3)
model = atonce.Translator.load("runs/en-de")
model.translate("The device is already configured.", beam=5).text
atonce.heatmap(model, "The device is already configured.").save("heatmap.svg")
atonce.evaluate("runs/en-de").scores.bleu
atonce.measure.work_span(torch.nn.LSTM(16, 16, batch_first=True), torch.randn(1, 32, 16)).span
"""

import os
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from atonce import hooks

__version__ = "0.1.0"

# Names are imported when they are asked for, so that `import atonce`, and every `atonce --help`, goes without
# torch. Type checkers do not follow that, and need a stub; so the stub is where the names are kept (as SPEC 1
# of Scientific Python has it), and this reads it.
_STUB = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_HOMES = {name: home for home, name in re.findall(r"^from (\S+) import (\w+) as \2$", _STUB, re.MULTILINE)}
__all__ = sorted([*_HOMES, "measure"])

# A thread of torch that waits for another does so in a loop of 300,000 pauses, 5 ms on our Xeon and thus
# longer than the system gives a thread at a time. On a busy machine hardly anything else would be done
# (`models.threads`). With 10,000 it is as fast on idle cores, with 1,000 not (benchmarks/spin.py). libgomp
# reads this once, when torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def __getattr__(name: str) -> object:
    """Import what is asked for when it is asked for."""
    if name == "measure":  # a folder of its own that can be called, with `work_span` and `growth`
        return import_module("atonce.measure")
    if name not in _HOMES:
        raise AttributeError(f"module 'atonce' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """What a notebook completes."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


def _heatmap(*args: Any, **options: Any) -> Any:
    draw: Any = __getattr__("heatmap")
    return draw(*args, **options)


hooks.heatmap = _heatmap


class _Measure(ModuleType):
    """The folder `atonce.measure`, which measures functions, called: it measures what has a name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """See `atonce.studies.measurement.measurement.measure`."""
        return import_module("atonce.studies.measurement.measurement").measure(*args, **kwargs)


class _FrontDoor(ModuleType):
    """Joins a folder and what can be called by its name but lies above it, of which it must not know."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Imports set this too, whoever comes first to the folder: `from atonce.measure import growth`.
        if name == "measure":
            value.__class__ = _Measure
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor
