// Two models on the same sentence: what each looks at, and where they differ.

import { latest, post } from "./api.js";
import { h, labelledSelect } from "./dom.js";
import { figurePlace } from "./figure.js";
import { change, state } from "./state.js";
import { linkedWords } from "./words.js";

export function compareView(place, page) {
  const ask = latest();
  const figure = figurePlace();
  const controls = h("div", { class: "controls" });
  const sides = h("div", { class: "two" });
  const note = h("p", { class: "legend" });
  place.append(controls, sides, note, figure.place);

  async function draw() {
    const names = [...page.models.keys()];
    const other = page.models.has(state.other) ? state.other : (names.find((name) => name !== state.model) ?? state.model);
    controls.replaceChildren(
      labelledSelect("Compare with", names.map((name) => [name, name]), other, (name) => change({ other: name }, { lasting: true })),
      labelledSelect("Rows and columns", [["words", "words"], ["tokens", "tokens"]], state.tokens, (tokens) => change({ tokens })),
    );
    if (names.length < 2) {
      note.textContent = "Only one model is served. To compare two, start the server with two runs: atonce serve RUN RUN.";
    }
    const request = { text: state.text, ...(state.target ? { target: state.target } : {}) };
    const found = await page.showingErrors(() => ask(async (signal) => {
      const [one, two] = await Promise.all([state.model, other].map((model) => post("/v1/look", { ...request, model }, signal)));
      const bothAttend = page.models.get(state.model).attention && page.models.get(other).attention;
      const maps = bothAttend && other !== state.model
        ? await post("/v1/comparison", { ...request, models: [state.model, other], words: state.tokens === "words" }, signal)
        : null;
      return { one, two, maps };
    }));
    if (!found) return;
    sides.replaceChildren(...[[state.model, found.one], [other, found.two]].map(([name, look]) =>
      h("section", { "aria-label": name },
        h("h2", {}, name),
        h("p", { class: "output", dir: "auto" }, look.target.text),
        h("p", { class: "score" }, `score ${look.score.toFixed(3)}`),
        linkedWords(look.source, look.target, look.map, look.confidence?.words))));
    if (!found.maps) {
      figure.place.hidden = true;
      if (names.length > 1) note.textContent = "One of the two models has no attention, so there are no heat maps to compare.";
      return;
    }
    note.textContent = `Both heat maps are of the same output, that of ${state.model}, so that they can be compared.`;
    figure.place.hidden = false;
    await figure.show(found.maps);
  }

  return { draw, close: figure.close };
}
