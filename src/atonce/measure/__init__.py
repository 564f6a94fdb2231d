"""Work, span and path length of anything that computes with torch.

from atonce.measure import growth, work_span
work_span(torch.nn.LSTM(16, 16, batch_first=True), torch.randn(1, 32, 16)).span
growth(lambda length: torch.randn(1, length, 16), torch.nn.LSTM(16, 16, batch_first=True)).span.law

docs/measure.md says what is counted, and how to read it. What has a name, layers, architectures, runs, is
measured by calling the folder itself, as `atonce measure` does: atonce.measure(["lstm", "transformer"]).
That is the work of studies/measurement, far above; `atonce/__init__.py` joins the two.
"""

from atonce.measure.growth import Growth, Law, growth
from atonce.measure.work_span import WorkSpan, work_span

__all__ = ["Growth", "Law", "WorkSpan", "growth", "work_span"]
