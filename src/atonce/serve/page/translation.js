// What the text becomes, as it is typed; which words belong together; how sure the model was of each.

import { h } from "./dom.js";
import { download, saveText } from "./saving.js";
import { change, state } from "./state.js";
import { linkedWords } from "./words.js";

export function translationView(place, page) {
  const output = h("p", { class: "output", id: "output", dir: "auto", "aria-live": "polite" });
  const below = h("div");
  place.append(output, below);

  async function draw() {
    const found = await page.look();
    if (!found) return;
    output.textContent = found.target.text;
    output.lang = page.models.get(state.model)?.target ?? "";
    below.replaceChildren(
      linkedWords(found.source, found.target, found.map, found.confidence?.words),
      legend(found, page),
      alternatives(found),
      saving(found),
    );
  }

  return { draw };
}

function legend(found, page) {
  const said = [];
  const attentive = page.models.get(found.model).attention;
  if (found.map) said.push("Point at a word, or reach it with Tab and the arrow keys, to see what it looked at.");
  else if (attentive) said.push("Nothing is shown of a text that is read in several segments.");
  else said.push("This model has no attention: the whole sentence went through one vector.");
  if (found.confidence) said.push("The warmer a word's line, the less probable it was.");
  return h("p", { class: "legend" }, said.join(" "), " ", h("em", {}, "Attention is a hint at what mattered, no explanation."));
}

function alternatives(found) {
  return h("details", { class: "alternatives" },
    h("summary", {}, found.alternatives.length > 1 ? `${found.alternatives.length} best outputs` : "The best output"),
    h("ol", {}, found.alternatives.map((one) =>
      h("li", {},
        h("button", { type: "button", dir: "auto", onclick: () => change({ target: one.text }, { lasting: true }) }, one.text),
        h("span", { class: "score" }, one.score.toFixed(3))))),
    state.target
      ? h("button", { type: "button", onclick: () => change({ target: "" }) }, "Let the model choose again")
      : null);
}

function saving(found) {
  return h("p", { class: "saving" }, "Save: ",
    found.alignment !== undefined && h("button", {
      type: "button", onclick: () => saveText(`${found.alignment}\n`, "alignment.pharaoh", "text/plain"),
    }, "Pharaoh"),
    " ",
    h("button", { type: "button", onclick: () => download("/v1/heatmap", { text: state.text, model: state.model, target: found.target.text, format: "html" }) }, "offline page"));
}
