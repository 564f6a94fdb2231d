// What the text becomes, as it is typed; which words belong together; how sure the model was of each.

import { button, choice, h } from "./dom.js";
import { download, saveText } from "./saving.js";
import { change, state } from "./state.js";
import { linkedWords } from "./words.js";

const DRAWS = 5;
const LAST_SEED = 2n ** 64n - 1n;
const WAYS = [
  ["", "the best, by search"],
  ["0.5", "drawn at random, temperature 0.5"],
  ["1", "drawn at random, temperature 1"],
];

/** How outputs are had. A seed goes as text: a number beyond 2^53 would be rounded. */
function asked() {
  if (!state.sample) return {};
  return { temperature: Number(state.sample), nbest: DRAWS, seed: state.seed };
}

function nextSeed() {
  const seed = /^[0-9]{1,20}$/.test(state.seed) ? BigInt(state.seed) : 0n;
  return String(seed < LAST_SEED ? seed + 1n : 0n);
}

/** The choice between them, which stays where it is while outputs come and go. */
function ways() {
  const way = choice("Outputs", WAYS, state.sample, (sample) => change({ sample, target: "" }, { lasting: true }));
  const again = button("Draw again", () => change({ seed: nextSeed(), target: "" }));
  return {
    place: h("p", { class: "ways" }, way, " ", again),
    show() {
      way.querySelector("select").value = state.sample;
      again.hidden = !state.sample;
    },
  };
}

export function translationView(place, page) {
  const output = h("p", { class: "output", id: "output", dir: "auto", "aria-live": "polite" });
  const below = h("div");
  const above = ways();
  place.append(above.place, output, below);

  async function draw() {
    above.show();
    const found = await page.look(asked());
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
    h("summary", {}, title(found.alternatives.length)),
    h("ol", {}, found.alternatives.map((one) =>
      h("li", {},
        h("button", { type: "button", dir: "auto", onclick: () => change({ target: one.text }, { lasting: true }) }, one.text),
        h("span", { class: "score" }, one.score.toFixed(3))))),
    state.target
      ? h("button", { type: "button", onclick: () => change({ target: "" }) }, "Let the model choose again")
      : null);
}

function title(count) {
  if (state.sample) return `${count} outputs drawn, the likeliest first`;
  return count > 1 ? `${count} best outputs` : "The best output";
}

function saving(found) {
  return h("p", { class: "saving" }, "Save: ",
    found.alignment !== undefined && h("button", {
      type: "button", onclick: () => saveText(`${found.alignment}\n`, "alignment.pharaoh", "text/plain"),
    }, "Pharaoh"),
    " ",
    h("button", { type: "button", onclick: () => download("/v1/heatmap", { text: state.text, model: state.model, target: found.target.text, format: "html" }) }, "offline page"));
}
