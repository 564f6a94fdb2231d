"""Figures on offline web pages: with the drawing script inside, controls, and a table of the numbers.

The parts can be put on a page of one's own: `STYLE` in its head, an `element` for each figure, and `script()`
in a script element at its end.
"""

import functools
import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from atonce.figures import vega
from atonce.figures.labels import drawable
from atonce.figures.style import DARK, LIGHT

Spec = Mapping[str, Any]
"""A Vega-Lite chart as JSON has it."""

# A figure keeps in `drawn` the promise of what vegaEmbed gives: its controls wait for it.
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
  setSignals(figure);
}
function drawAll() { document.querySelectorAll("figure.heatmap").forEach(draw); }
dark.addEventListener("change", drawAll);
drawAll();

function setSignals(figure) {
  for (const input of figure.querySelectorAll("input[data-signal]")) {
    const stop = JSON.parse(input.dataset.stops)[input.value];
    figure.querySelector(`output[for="${input.id}"]`).textContent = `${stop} of ${input.dataset.last}`;
    input.setAttribute("aria-valuetext", `${stop} of ${input.dataset.last}`);
    figure.drawn?.then(({view}) => view.signal(input.dataset.signal, stop).runAsync());
  }
}
function play(figure, button) {
  const input = document.getElementById(button.getAttribute("aria-controls"));
  const stop = () => { clearInterval(button.timer); button.timer = null; button.textContent = "Play"; };
  if (button.timer) { stop(); return; }
  if (input.value === input.max) input.value = 0;
  button.textContent = "Pause";
  const step = () => {
    input.value = Number(input.value) + 1;
    setSignals(figure);
    if (input.value === input.max) stop();
  };
  button.timer = setInterval(step, Math.max(60, 9000 / input.max));
}
for (const figure of document.querySelectorAll("figure.heatmap")) {
  figure.addEventListener("input", () => setSignals(figure));
  for (const button of figure.querySelectorAll("button[data-play]"))
    button.addEventListener("click", () => play(figure, button));
}
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
figure.heatmap .controls { display: flex; flex-wrap: wrap; align-items: center; gap: 0.75rem;
  margin: 0.5rem 0; padding: 0.4rem 0; position: sticky; top: 0; z-index: 1;
  background: var(--paper, Canvas); }
figure.heatmap .controls label { display: contents; }
figure.heatmap .controls input { flex: 1 1 12rem; max-width: 28rem; min-height: 1.75rem; }
figure.heatmap .controls output { min-width: 5.5rem; font-variant-numeric: tabular-nums; }
figure.heatmap .controls button { font: inherit; min-width: 5rem; padding: 0.3rem 0.8rem; cursor: pointer;
  color: inherit; background: transparent; border: 1px solid currentColor; border-radius: 0.4rem; }
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


def whole_page(title: str, facts: Sequence[tuple[str, str]], figure: str) -> str:
    """A page for one figure: light and dark, tooltips, download as picture, and the numbers as tables.

    `facts`: names and texts, written above. `figure`: its `element`.
    """
    written = "\n".join(
        f'<dt>{html.escape(name)}</dt><dd dir="auto" lang="">{html.escape(drawable(text))}</dd>'
        for name, text in facts
    )
    title = html.escape(drawable(title))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_LOAD_NOTHING}">
<title>{title}</title>
<style>{_PAGE_STYLE}{STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<dl>
{written}
</dl>
{figure}
</main>
<script>{script()}</script>
</body>
</html>
"""


def element(light: Spec, dark: Spec, label: str, tables: str, controls: str = "") -> str:
    """A figure as an HTML element: its drawing, for `script` to fill, and its numbers as tables.

    `light`, `dark`: the Vega-Lite chart in either palette. `label`: the alternative text. `tables`: the
    numbers, as HTML. `controls`: of the chart's parameters, made by `slider`.
    """
    # The drawing is one picture to a screen reader: the tables have what is in it.
    return f"""<figure class="heatmap">
<script type="application/json">{_figure_data(light, dark)}</script>
{controls}
<div class="drawing" role="img" aria-label="{html.escape(drawable(label))}"></div>
<details>
<summary>The numbers as a table</summary>
<div class="tables" tabindex="0">
{drawable(tables)}
</div>
</details>
</figure>"""


def slider(signal: str, name: str, stops: Sequence[int], *, at: int, plays: bool) -> str:
    """A slider over `stops`, which sets the chart's parameter `signal`, with a button to play if it `plays`.

    `name`: what it is called; `at`: the stop where it begins.
    """
    own = f"set-{signal}"
    play = f'<button type="button" data-play aria-controls="{own}">Play</button>\n' if plays else ""
    return f"""<div class="controls">
{play}<label for="{own}">{html.escape(name)}</label>
<input type="range" id="{own}" data-signal="{signal}" data-stops="{html.escape(json.dumps(list(stops)))}" \
data-last="{stops[-1]}" min="0" max="{len(stops) - 1}" value="{stops.index(at)}">
<output for="{own}" aria-live="off">{at} of {stops[-1]}</output>
</div>"""


@functools.cache
def script() -> str:
    """The script that draws every `element` on its page, with all it needs inside (about 0.9 MB)."""
    # In a block, so that the names of the library do not meet those of the page around it.
    return "{" + vega.script(_DRAW) + "}"


def _figure_data(light: Spec, dark: Spec) -> str:
    """The figure in both palettes, its data once."""
    specs = {
        name: {key: part for key, part in spec.items() if key != "datasets"}
        for name, spec in (("light", light), ("dark", dark))
    }
    data = json.dumps({**specs, "datasets": light.get("datasets", {})}, ensure_ascii=False)
    return data.replace("<", r"\u003c")  # no word of a text can end the script element
