// The output as the text is typed, its words linked to the source by attention, and how probable each was.

import { button, h, labelledSelect } from "./dom.js";
import { download, saveText } from "./saving.js";
import { change, state } from "./state.js";
import { linkedWords } from "./words.js";

const SAMPLES = 5;
const LAST_SEED = 2n ** 64n - 1n;
const METHODS = [
  ["", "beam search"],
  ["0.5", "sampling, temperature 0.5"],
  ["1", "sampling, temperature 1"],
];

/** The sampling options of the request. The seed is sent as text: JavaScript rounds numbers beyond 2^53. */
function samplingOptions() {
  if (!state.sample) return {};
  return { temperature: Number(state.sample), nbest: SAMPLES, seed: state.seed };
}

function nextSeed() {
  const seed = /^[0-9]{1,20}$/.test(state.seed) ? BigInt(state.seed) : 0n;
  return String(seed < LAST_SEED ? seed + 1n : 0n);
}

/** The choice of method. Made once and not with each output, or it would lose the focus. */
function methodControls() {
  const method = labelledSelect("Decoding", METHODS, state.sample, (sample) => change({ sample, target: "" }, { lasting: true }));
  const again = button("Sample again", () => change({ seed: nextSeed(), target: "" }));
  return {
    place: h("p", { class: "methods" }, method, " ", again),
    show() {
      method.querySelector("select").value = state.sample;
      again.hidden = !state.sample;
    },
  };
}

export function translationView(place, page) {
  const output = h("p", { class: "output", id: "output", dir: "auto", "aria-live": "polite" });
  const below = h("div");
  const methods = methodControls();
  place.append(methods.place, output, below);

  async function draw() {
    methods.show();
    const found = await page.look(samplingOptions());
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
  const sentences = [];
  const attends = page.models.get(found.model).attention;
  if (found.map) sentences.push("Point at a word, or reach it with Tab and the arrow keys, to see what it looked at.");
  else if (attends) sentences.push("Attention is not shown for a text that is translated in several segments.");
  else sentences.push("This model has no attention: the whole sentence went through one vector.");
  if (found.confidence) sentences.push("The stronger the line under a word, the less probable the word was.");
  return h("p", { class: "legend" }, sentences.join(" "), " ", h("em", {}, "Attention is not an explanation: it only hints at what mattered."));
}

function alternatives(found) {
  return h("details", { class: "alternatives" },
    h("summary", {}, title(found.alternatives.length)),
    h("ol", {}, found.alternatives.map((one) =>
      h("li", {},
        h("button", { type: "button", dir: "auto", onclick: () => change({ target: one.text }, { lasting: true }) }, one.text),
        h("span", { class: "score" }, one.score.toFixed(3))))),
    state.target
      ? h("button", { type: "button", onclick: () => change({ target: "" }) }, "Back to the model's own output")
      : null);
}

function title(count) {
  if (state.sample) return `${count} samples, most probable first`;
  return count > 1 ? `${count} best outputs` : "The best output";
}

function saving(found) {
  return h("p", { class: "saving" }, "Save as: ",
    found.alignment !== undefined && h("button", {
      type: "button", onclick: () => saveText(`${found.alignment}\n`, "alignment.pharaoh", "text/plain"),
    }, "Pharaoh"),
    " ",
    h("button", { type: "button", onclick: () => download("/v1/heatmap", { text: state.text, model: state.model, target: found.target.text, format: "html" }) }, "offline page"));
}
