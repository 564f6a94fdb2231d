// Interventions: hide a word, drop a head, force a beginning; and what changes. Influence beside attention.

import { latest, post } from "./api.js";
import { button, choice, h } from "./dom.js";
import { figurePlace } from "./figure.js";
import { change, state } from "./state.js";

const MEASURES = [["gradient", "gradient × input"], ["occlusion", "leaving words out"], ["attention", "attention"]];

const numbers = (text) => (text ? text.split(".").map(Number) : []);

export function whatIfView(place, page) {
  const ask = latest();
  const figure = figurePlace();
  const words = h("div", { class: "toggles", role: "group", "aria-label": "Source words: press one to hide it" });
  const heads = h("div", { class: "toggles", role: "group", "aria-label": "Heads: press one to drop it" });
  const swap = h("div", { class: "controls" });
  const prefix = h("input", { type: "text", dir: "auto", id: "prefix", onchange: (event) => change({ prefix: event.target.value }) });
  const results = h("dl", { class: "results", "aria-live": "polite" });
  const measure = h("div", { class: "controls" });
  let kind = "gradient";
  place.append(
    h("h2", {}, "Hide words of the source"), words,
    h("h2", {}, "Swap a word of the source"), swap,
    h("h2", {}, "Drop heads"), heads,
    h("h2", {}, h("label", { for: "prefix" }, "Force the output to begin with")), prefix,
    h("h2", {}, "What changes"), results,
    h("h2", {}, "What mattered, measured in three ways"), measure, figure.place,
    h("p", { class: "legend" }, "Attention says where the model looked, gradients how the output would change with a word's vector, ",
      "leaving a word out what happens without it. They often differ: ",
      h("em", {}, "attention is no explanation.")),
  );

  function dropped() {
    const found = {};
    for (const one of state.drop ? state.drop.split("~") : []) {
      const [layer, head] = one.split("!");
      (found[layer] ??= []).push(Number(head));
    }
    return found;
  }

  const flipped = (list, one) => (list.includes(one) ? list.filter((other) => other !== one) : [...list, one]);

  function drawSwap(words) {
    const [at, by] = swapOf();
    const other = h("input", {
      type: "text", dir: "auto", value: by, "aria-label": "The word in its place",
      onchange: (event) => change({ swap: event.target.value ? `${chosen.value}:${event.target.value}` : "" }),
    });
    const place = choice("Put, in place of", words.map((word, number) => [String(number), word]), String(at),
      (number) => change({ swap: other.value ? `${number}:${other.value}` : "" }));
    const chosen = place.querySelector("select");
    swap.replaceChildren(place, other);
  }

  async function draw() {
    const wish = { text: state.text, model: state.model };
    const found = await page.daring(() => ask(async (signal) => {
      const plain = await post("/v1/look", wish, signal);
      const changed = state.hide || state.drop || state.prefix || state.swap
        ? await post("/v1/look", { ...wish, text: swapped(plain.source.text, plain.source.words), hidden: numbers(state.hide), dropped: dropped(), prefix: state.prefix || null }, signal)
        : null;
      const shown = kind === "attention"
        ? (plain.map ? await post("/v1/heatmap", { ...wish, format: "spec" }, signal) : null)
        : await post("/v1/influence", { ...wish, measure: kind, format: "spec" }, signal);
      return { plain, changed, shown };
    }));
    if (!found) return;
    const { plain, changed, shown } = found;
    words.replaceChildren(...plain.source.words.slice(0, -1).map((word, at) => {
      const hidden = numbers(state.hide).includes(at);
      return button(word, () => change({ hide: flipped(numbers(state.hide), at).join(".") }), { "aria-pressed": String(hidden), dir: "auto" });
    }));
    drawSwap(plain.source.words.slice(0, -1));
    heads.replaceChildren(...plain.layers.map((layer) => h("span", { class: "layer" }, h("span", {}, layer.layer, " "),
      Array.from({ length: layer.heads }, (_, at) => {
        const name = `${layer.layer}!${at + 1}`;
        const list = state.drop ? state.drop.split("~") : [];
        return button(String(at + 1), () => change({ drop: flipped(list, name).join("~") }), {
          "aria-pressed": String(list.includes(name)), "aria-label": `${layer.layer}, head ${at + 1}`,
        });
      }))));
    if (!plain.layers.length) heads.textContent = "This model has no attention.";
    prefix.value = state.prefix;
    results.replaceChildren(
      h("dt", {}, "As it is"), h("dd", { dir: "auto" }, plain.target.text, h("span", { class: "score" }, plain.score.toFixed(3))),
      ...(changed
        ? [h("dt", {}, "Changed"), h("dd", { dir: "auto", class: "changed" }, compared(plain.target.words, changed.target.words), h("span", { class: "score" }, changed.score.toFixed(3)))]
        : [h("dt", {}, "Changed"), h("dd", {}, "nothing yet")]),
    );
    measure.replaceChildren(
      choice("By", MEASURES, kind, (chosen) => { kind = chosen; draw(); }),
      button("Undo all changes", () => change({ hide: "", drop: "", prefix: "", swap: "" })),
    );
    figure.place.hidden = !shown;
    if (shown) await figure.show(shown);
  }

  return { draw, close: figure.close };
}

/** The words of the second, those that the first has not marked. */
function compared(before, after) {
  const left = new Map();
  for (const word of before) left.set(word, (left.get(word) ?? 0) + 1);
  return after.slice(0, -1).flatMap((word) => {
    const known = left.get(word) ?? 0;
    left.set(word, known - 1);
    return [known > 0 ? word : h("mark", {}, word), " "];
  });
}

/** Which word is swapped, and for what. */
function swapOf() {
  const [at, ...by] = state.swap.split(":");
  return [Number(at) || 0, by.join(":")];
}

/** The text as it is read, with the other word in its place and everything else as it is. */
function swapped(text, words) {
  const [at, by] = swapOf();
  if (!by || at >= words.length - 1) return text;
  let begin = 0;
  for (const word of words.slice(0, at)) begin = text.indexOf(word, begin) + word.length;
  begin = text.indexOf(words[at], begin);
  return text.slice(0, begin) + by + text.slice(begin + words[at].length);
}
