// Two models on the same sentence: what each looks at, and where they differ.

import { latest, post } from "./api.js";
import { choice, h } from "./dom.js";
import { figurePlace } from "./figure.js";
import { change, state } from "./state.js";
import { linkedWords } from "./words.js";

export function compareView(place, page) {
  const ask = latest();
  const figure = figurePlace();
  const controls = h("div", { class: "controls" });
  const sides = h("div", { class: "two" });
  const said = h("p", { class: "legend" });
  place.append(controls, sides, said, figure.place);

  async function draw() {
    const able = [...page.models.keys()];
    const other = page.models.has(state.other) ? state.other : (able.find((name) => name !== state.model) ?? state.model);
    controls.replaceChildren(
      choice("Beside", able.map((name) => [name, name]), other, (name) => change({ other: name }, { lasting: true })),
      choice("Heat maps of", [["words", "words"], ["tokens", "tokens"]], state.tokens, (tokens) => change({ tokens })),
    );
    if (able.length < 2) {
      said.textContent = "There is one model. Start the server with two runs to see them side by side: atonce serve RUN RUN.";
    }
    const wish = { text: state.text, ...(state.target ? { target: state.target } : {}) };
    const found = await page.daring(() => ask(async (signal) => {
      const [one, two] = await Promise.all([state.model, other].map((model) => post("/v1/look", { ...wish, model }, signal)));
      const attentive = page.models.get(state.model).attention && page.models.get(other).attention;
      const maps = attentive && other !== state.model
        ? await post("/v1/comparison", { ...wish, models: [state.model, other], words: state.tokens === "words" }, signal)
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
      if (able.length > 1) said.textContent = "One of the two has no attention, so there is no map to compare.";
      return;
    }
    said.textContent = `Both maps are of one output, that of ${state.model}, so that they can be compared.`;
    figure.place.hidden = false;
    await figure.show(found.maps);
  }

  return { draw, close: figure.close };
}
