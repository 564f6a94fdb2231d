"""Controls of a figure on its page: a slider sets a parameter of the chart, a button lets it run."""

import html
import json
from collections.abc import Sequence

STYLE = """
figure.heatmap .controls { display: flex; flex-wrap: wrap; align-items: center; gap: 0.75rem;
  margin: 0.5rem 0; padding: 0.4rem 0; position: sticky; top: 0; z-index: 1;
  background: var(--paper, Canvas); }
figure.heatmap .controls label { display: contents; }
figure.heatmap .controls input { flex: 1 1 12rem; max-width: 28rem; min-height: 1.75rem; }
figure.heatmap .controls output { min-width: 5.5rem; font-variant-numeric: tabular-nums; }
figure.heatmap .controls button { font: inherit; min-width: 5rem; padding: 0.3rem 0.8rem; cursor: pointer;
  color: inherit; background: transparent; border: 1px solid currentColor; border-radius: 0.4rem; }
"""

SCRIPT = """
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
"""Knows figures with `drawn`, a promise of what vegaEmbed gives."""


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
