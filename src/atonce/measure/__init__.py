"""Work, span and path length of anything that computes with torch.

from atonce.measure import growth, work_span
work_span(torch.nn.LSTM(16, 16, batch_first=True), torch.randn(1, 32, 16)).span
growth(lambda length: torch.randn(1, length, 16), torch.nn.LSTM(16, 16, batch_first=True)).span.law

docs/measure.md says what is counted, and how to read it. What has a name, layers, architectures, runs, is
measured by calling the folder itself, as `atonce measure` does: atonce.measure(["lstm", "transformer"]).
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from atonce.measure.growth import Growth, growth
from atonce.measure.laws import Law
from atonce.measure.work_span import WorkSpan, work_span

__all__ = ["Growth", "Law", "WorkSpan", "growth", "work_span"]


class _Callable(ModuleType):
    """A folder that can be called. What there is to measure is known above it, so it asks when called."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """See `atonce.studies.measurement.measurement.measure`."""
        return import_module("atonce.studies.measurement.measurement").measure(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
