"""Heat maps on a web page that needs nothing else: the drawing script is inside, and a table of the numbers.

The parts can be put on a page of one's own: `STYLE` in its head, an `element` for each heat map, and
`script()` in a script element at its end.
"""

import functools
import html
import json
from collections.abc import Iterator, Sequence

import numpy as np

from atonce.explain.figure import DARK, LIGHT, Palette, figure, vega_lite_version
from atonce.explain.words import AttentionMap

_DRAW = """
const dark = matchMedia("(prefers-color-scheme: dark)");
function draw(figure) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const spec = {...data[dark.matches ? "dark" : "light"], datasets: data.datasets};
  figure.drawn?.then((previous) => previous.finalize());
  figure.drawn = vegaEmbed(figure.querySelector(".drawing"), spec, {
    renderer: "svg", ast: true, tooltip: {theme: dark.matches ? "dark" : "light"},
    actions: {export: true, source: false, compiled: false, editor: false},
  });
}
function drawAll() { document.querySelectorAll("figure.heatmap").forEach(draw); }
dark.addEventListener("change", drawAll);
drawAll();
"""

STYLE = """
figure.heatmap { margin: 0 0 2rem; }
figure.heatmap .drawing { overflow-x: auto; }
figure.heatmap .tables { overflow-x: auto; }
figure.heatmap table { border-collapse: collapse; margin: 1rem 0 2rem; font-size: 0.85rem; }
figure.heatmap caption { text-align: start; font-weight: 600; padding: 0.25rem 0; }
figure.heatmap th, figure.heatmap td { padding: 0.2rem 0.5rem; border-bottom: 1px solid #8884; }
figure.heatmap caption span { font-weight: 400; }
figure.heatmap th { font-weight: 500; text-align: end; }
figure.heatmap tbody th { text-align: start; }
figure.heatmap td { text-align: end; font-variant-numeric: tabular-nums; }
figure.heatmap .strongest { font-weight: 700; }
figure.heatmap summary { cursor: pointer; }
"""

_PAGE_STYLE = f"""
:root {{ color-scheme: light dark; --paper: {LIGHT.background}; --ink: {LIGHT.ink}; --faint: {LIGHT.faint}; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --paper: {DARK.background}; --ink: {DARK.ink}; --faint: {DARK.faint}; }}
}}
body {{ margin: 2rem auto; padding: 0 1.5rem; max-width: max-content; font: 15px/1.5 system-ui, sans-serif;
  background: var(--paper); color: var(--ink); }}
h1 {{ font-size: 1.15rem; margin: 0 0 0.75rem; }}
dl {{ display: grid; grid-template-columns: max-content minmax(0, 44rem); gap: 0.15rem 1rem;
  margin: 0 0 1.5rem; }}
dt {{ color: var(--faint); }}
dd {{ margin: 0; }}
"""

# The page may run and style itself, and load nothing: the browser itself holds it to being offline.
_LOAD_NOTHING = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)


def whole_page(maps: Sequence[AttentionMap], model: str, source: str, output: str) -> str:
    """A page for one heat map: light and dark, tooltips, download as picture, and the weights as tables."""
    title = f"What {model} looked at"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_LOAD_NOTHING}">
<title>{html.escape(title)}</title>
<style>{_PAGE_STYLE}{STYLE}</style>
</head>
<body>
<main>
<h1>{html.escape(title)}</h1>
<dl>
<dt>source</dt><dd dir="auto" lang="">{html.escape(source)}</dd>
<dt>output</dt><dd dir="auto" lang="">{html.escape(output)}</dd>
</dl>
{element(maps, model)}
</main>
<script>{script()}</script>
</body>
</html>
"""


def element(maps: Sequence[AttentionMap], model: str) -> str:
    """The heat map as an HTML element: its drawing, for `script` to fill, and the weights as tables."""
    titles = "; ".join(one.title for one in maps)
    label = html.escape(f"Heat map of {titles}. The table has the same numbers.")
    tables = "\n".join(_table(one) for one in maps)
    return f"""<figure class="heatmap">
<script type="application/json">{_figure_data(maps, model)}</script>
<div class="drawing" role="img" aria-label="{label}"></div>
<details>
<summary>The weights as a table</summary>
<div class="tables" tabindex="0">
{tables}
</div>
</details>
</figure>"""


@functools.cache
def script() -> str:
    """The script that draws every `element` on its page, with all it needs inside (about 0.9 MB)."""
    import vl_convert

    bundle = vl_convert.javascript_bundle(_DRAW, vl_version=vega_lite_version())
    # In a block, so that the names of the library do not meet those of the page around it.
    return "{" + bundle.replace("</script", r"<\/script") + "}"


def _figure_data(maps: Sequence[AttentionMap], model: str) -> str:
    """The figure in both palettes, its data once."""
    light, dark = (_spec(maps, model, palette) for palette in (LIGHT, DARK))
    datasets = light.pop("datasets")
    dark.pop("datasets")
    data = json.dumps({"light": light, "dark": dark, "datasets": datasets}, ensure_ascii=False)
    return data.replace("<", r"\u003c")  # no word of a text can end the script element


def _spec(maps: Sequence[AttentionMap], model: str, palette: Palette) -> dict[str, object]:
    return dict(figure(maps, model, palette).to_dict())


def _table(one: AttentionMap) -> str:
    columns = "".join(f'<th scope="col" dir="auto">{html.escape(word)}</th>' for word in one.columns)
    corner = html.escape(f"{one.row_axis} \\ {one.column_axis}")
    return (
        f"<table>\n<caption>{html.escape(one.title)} <span>{html.escape(one.rule)}</span></caption>\n"
        f"<thead><tr><th>{corner}</th>{columns}</tr></thead>\n"
        f"<tbody>\n{''.join(_rows(one))}</tbody>\n</table>"
    )


def _rows(one: AttentionMap) -> Iterator[str]:
    for word, weights in zip(one.rows, one.weights, strict=True):
        strongest = np.nanmax(weights) if np.isfinite(weights).any() else np.nan
        cells = "".join(
            f"<td{' class=strongest' if weight == strongest and weight > 0 else ''}>{_number(weight)}</td>"
            for weight in weights
        )
        yield f'<tr><th scope="row" dir="auto">{html.escape(word)}</th>{cells}</tr>\n'


def _number(weight: np.floating) -> str:
    return "–" if np.isnan(weight) else f"{weight:.3f}"
