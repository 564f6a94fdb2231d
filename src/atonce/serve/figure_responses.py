"""Figures as responses: to be drawn by the page, or as files."""

import asyncio
import csv
import io
from http import HTTPStatus

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from atonce.explain.text_heatmap import Heatmap
from atonce.figures.drawing_process import MIB, SHARED, DrawingDied, DrawingLimits
from atonce.figures.figure import MOST_NUMBERS, check_size
from atonce.figures.style import DARK, LIGHT
from atonce.serve.errors import HTTPError, too_many_figures
from atonce.serve.json_format import json_text
from atonce.serve.messages import Format

_TYPES: dict[Format, str] = {
    "spec": "application/json",
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "pdf": "application/pdf",
    "html": "text/html; charset=utf-8",
}
DRAWN = ("svg", "png", "pdf")
"""Formats that the drawing process makes; all others are plain data."""
MOST_CELLS = 22_500
"""Of a picture: 150 words by 150 take 0.3 GB to draw, and seconds. Other formats may have more."""
MOST_WAITING = 32
"""Figures that are made or queued."""
_MEMORY = 1_100 * MIB
"""Of the drawing process: what its library reserves at once, and 0.5 GB."""
_DATA_AT_ONCE = 2
_GRACE = 1.0
"""Seconds that a drawing may go on for which nobody waits: most are done by then, and a new process takes as
long to be ready."""


class FigureResponses:
    """Makes responses of figures: one picture at a time, within limits of time and memory."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: the time limit of a request. A drawing gets half: those behind it wait, too."""
        self._limits = DrawingLimits(seconds / 2, _MEMORY)
        # Apart: data need no drawing process, and are not to wait behind pictures that take seconds.
        self._pictures, self._data = asyncio.Semaphore(1), asyncio.Semaphore(_DATA_AT_ONCE)
        self._made = 0

    def prepare(self, kind: Format) -> None:
        """Start the drawing process, so that it is ready once a figure of this format is found."""
        if kind in DRAWN:
            SHARED.start()

    async def response(self, figure: Heatmap, kind: Format) -> Response:
        """The figure as a response: a file to download, unless the page is to draw it.

        If it is cancelled, as nobody waits for it any more, the drawing ends soon. Raises HTTPError where too
        many wait or the drawing process dies, and FigureError where it takes too long or is too large.
        """
        if self._made >= MOST_WAITING:
            raise too_many_figures(MOST_WAITING)
        self._made += 1  # waiting ones, too: each holds a figure in memory
        try:
            content = await self._rendered(figure, kind)
        except DrawingDied as error:
            raise HTTPError(
                HTTPStatus.SERVICE_UNAVAILABLE, error.what, why=error.why, fix=error.fix
            ) from None
        finally:
            self._made -= 1
        # The page draws a spec itself; anything else is a file to download.
        headers = {} if kind == "spec" else {"Content-Disposition": f'attachment; filename="heatmap.{kind}"'}
        return Response(content, media_type=_TYPES[kind], headers=headers)

    async def _rendered(self, figure: Heatmap, kind: Format) -> bytes:
        turn = self._pictures if kind in DRAWN else self._data
        await turn.acquire()
        # Shielded: a thread cannot be cancelled, and keeps its turn until it is done.
        made = asyncio.ensure_future(run_in_threadpool(render, figure, kind, self._limits))
        made.add_done_callback(lambda _: turn.release())
        made.add_done_callback(_ignore_failure)
        try:
            return await asyncio.shield(made)
        except asyncio.CancelledError:
            if kind in DRAWN:
                asyncio.get_running_loop().call_later(_GRACE, _stop, made)
            raise


def render(figure: Heatmap, kind: Format, limits: DrawingLimits) -> bytes:
    """The figure in this format. Raises FigureError where it is too large, or cannot be drawn."""
    match kind:
        case "spec":
            return json_text(spec(figure)).encode(errors="backslashreplace")
        case "csv":
            check_size(figure.noun, figure.marks(), MOST_NUMBERS)
            return table(figure).encode(errors="backslashreplace")
        case "svg" | "png" | "pdf":
            check_size(figure.noun, figure.marks(), MOST_CELLS)
            return figure.rendered(f".{kind}", limits)
        case _:
            return figure.rendered(f".{kind}")


def spec(figure: Heatmap) -> dict[str, object]:
    """What the page draws: the chart in both palettes, its data once, and the numbers for a table."""
    # The data are most of it, and the same in both.
    light, dark = (figure.spec(palette) for palette in (LIGHT, DARK))
    datasets = light.pop("datasets")
    del dark["datasets"]
    maps = figure.to_dict()["maps"]
    return {"light": light, "dark": dark, "datasets": datasets, "label": figure.alt_text, "maps": maps}


def table(figure: Heatmap) -> str:
    """Every weight as a line of CSV."""
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(["map", "row", "row_token", "column", "column_token", "weight"])
    for one in figure.maps:
        for (row, column), weight in np.ndenumerate(one.weights):
            tokens = row, _no_formula(one.rows[row]), column, _no_formula(one.columns[column])
            lines.writerow([one.title, *tokens, f"{weight:.6f}"])
    return text.getvalue()


def _no_formula(word: str) -> str:
    """The word, marked as text where a spreadsheet would compute it."""
    # CSV injection (OWASP): "=…" of somebody's text would run in the spreadsheet of whoever opens the file.
    return f"'{word}" if word.startswith(("=", "+", "-", "@", "\t", "\r")) else word


def _stop(made: "asyncio.Future[bytes]") -> None:
    """End the drawing process, again and again until this picture, which has its turn, is given up.

    Once is not enough: the thread may still be on its way to it, and would start another.
    """
    if not made.done():
        SHARED.kill()
        asyncio.get_running_loop().call_later(_GRACE, _stop, made)


def _ignore_failure(done: "asyncio.Future[bytes]") -> None:
    """Mark a failure that nobody waits for as seen, or asyncio would log it."""
    if not done.cancelled():
        done.exception()
