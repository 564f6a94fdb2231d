"""Figures as they are sent: to be drawn by the page, or as files."""

import csv
import io
from typing import Any, Literal

import numpy as np
from starlette.responses import Response

from atonce.explain.texts.heatmap import Heatmap
from atonce.figures.style import DARK, LIGHT
from atonce.serve.messages import json_text

Format = Literal["spec", "json", "csv", "svg", "png", "pdf", "html"]
_TYPES: dict[Format, str] = {
    "spec": "application/json",
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "pdf": "application/pdf",
    "html": "text/html; charset=utf-8",
}


def sent(figure: Heatmap, kind: Format) -> Response:
    """The figure in an answer: as a file to be kept, unless the page is to draw it."""
    headers = {} if kind == "spec" else {"Content-Disposition": f'attachment; filename="heatmap.{kind}"'}
    return Response(_content(figure, kind), media_type=_TYPES[kind], headers=headers)


def _content(figure: Heatmap, kind: Format) -> bytes:
    match kind:
        case "spec":
            return json_text(spec(figure)).encode()
        case "csv":
            return table(figure).encode()
        case _:
            return figure.rendered(f".{kind}")


def spec(figure: Heatmap) -> dict[str, object]:
    """What the page draws: the chart in both palettes, its data once, and the numbers for a table."""
    charts: list[Any] = [figure.chart(palette) for palette in (LIGHT, DARK)]
    # The cells are the same in both, and plain already: altair need not look at each of them.
    datasets = charts[0].datasets
    for chart in charts:
        chart.datasets = {}
    light, dark = (dict(chart.to_dict()) for chart in charts)
    for one in (light, dark):
        one.pop("datasets", None)
    maps = figure.to_dict()["maps"]
    return {"light": light, "dark": dark, "datasets": datasets, "label": figure.label(), "maps": maps}


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
    return f"'{word}" if word.startswith(("=", "+", "-", "@", "\t", "\r")) else word
