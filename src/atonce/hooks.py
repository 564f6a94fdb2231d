"""What parts below may ask of parts above without knowing them: the front door puts it here."""

from collections.abc import Callable
from typing import Any

heatmap: Callable[..., Any] | None = None
"""`atonce.heatmap`, for a translation that shows what was looked at."""
