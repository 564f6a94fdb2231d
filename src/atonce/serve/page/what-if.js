// Interventions: hide or replace a word, drop a head, force a prefix; and what changes. Influence beside attention.

import { latest, post } from "./api.js";
import { button, h, labelledSelect } from "./dom.js";
import { figurePlace } from "./figure.js";
import { change, state } from "./state.js";

const MEASURES = [["gradient", "gradient × input"], ["occlusion", "occlusion: words left out"], ["attention", "attention"]];

const numbers = (text) => (text ? text.split(".").map(Number) : []);

export function whatIfView(place, page) {
  const ask = latest();
  const figure = figurePlace();
  const words = h("div", { class: "toggles", role: "group", "aria-label": "Source words: choose one to hide it" });
  const heads = h("div", { class: "toggles", role: "group", "aria-label": "Attention heads: choose one to drop it" });
  const swap = h("div", { class: "controls" });
  const prefix = h("input", { type: "text", dir: "auto", id: "prefix", onchange: (event) => change({ prefix: event.target.value }) });
  const results = h("dl", { class: "results", "aria-live": "polite" });
  const undo = button("Undo all changes", () => change({ hide: "", drop: "", prefix: "", swap: "" }));
  const measure = h("div", { class: "controls" });
  let kind = "gradient";
  place.append(
    h("h2", {}, "Hide source words"), words,
    h("h2", {}, "Replace a source word"), swap,
    h("h2", {}, "Drop attention heads"), heads,
    h("h2", {}, h("label", { for: "prefix" }, "Force a prefix of the output")), prefix,
    h("h2", {}, "What changes"), results, undo,
    h("h2", {}, "Which words mattered, by three measures"), measure, figure.place,
    h("p", { class: "legend" }, "Attention says where the model looked; gradient × input, how much the output would change with a word's vector; ",
      "occlusion, what changes without the word. They often differ: ",
      h("em", {}, "attention is not an explanation.")),
  );

  function droppedHeads() {
    const found = {};
    for (const one of state.drop ? state.drop.split("~") : []) {
      const [layer, head] = one.split("!");
      (found[layer] ??= []).push(Number(head));
    }
    return found;
  }

  const toggled = (list, one) => (list.includes(one) ? list.filter((other) => other !== one) : [...list, one]);

  function drawReplacement(words) {
    const [at, by] = replacement();
    const other = h("input", {
      type: "text", dir: "auto", value: by, "aria-label": "Replacement", placeholder: "by this word",
      onchange: (event) => change({ swap: event.target.value ? `${chosen.value}:${event.target.value}` : "" }),
    });
    const place = labelledSelect("Replace", words.map((word, number) => [String(number), word]), String(at),
      (number) => change({ swap: other.value ? `${number}:${other.value}` : "" }));
    const chosen = place.querySelector("select");
    swap.replaceChildren(place, other);
  }

  async function draw() {
    const request = { text: state.text, model: state.model };
    const found = await page.showingErrors(() => ask(async (signal) => {
      const plain = await post("/v1/look", request, signal);
      const changed = state.hide || state.drop || state.prefix || state.swap
        ? await post("/v1/look", { ...request, text: withReplacement(plain.source.text, plain.source.words), hidden: numbers(state.hide), dropped: droppedHeads(), prefix: state.prefix || null }, signal)
        : null;
      const shown = kind === "attention"
        ? (plain.map ? await post("/v1/heatmap", { ...request, format: "spec" }, signal) : null)
        : await post("/v1/influence", { ...request, measure: kind, format: "spec" }, signal);
      return { plain, changed, shown };
    }));
    if (!found) return;
    const { plain, changed, shown } = found;
    words.replaceChildren(...plain.source.words.slice(0, -1).map((word, at) => {
      const hidden = numbers(state.hide).includes(at);
      return button(word, () => change({ hide: toggled(numbers(state.hide), at).join(".") }), { "aria-pressed": String(hidden), dir: "auto" });
    }));
    drawReplacement(plain.source.words.slice(0, -1));
    heads.replaceChildren(...plain.layers.map((layer) => h("span", { class: "layer" }, h("span", {}, layer.layer, " "),
      Array.from({ length: layer.heads }, (_, at) => {
        const name = `${layer.layer}!${at + 1}`;
        const list = state.drop ? state.drop.split("~") : [];
        return button(String(at + 1), () => change({ drop: toggled(list, name).join("~") }), {
          "aria-pressed": String(list.includes(name)), "aria-label": `${layer.layer}, head ${at + 1}`,
        });
      }))));
    if (!plain.layers.length) heads.textContent = "This model has no attention.";
    prefix.value = state.prefix;
    results.replaceChildren(
      h("dt", {}, "Unchanged"), h("dd", { dir: "auto" }, plain.target.text, h("span", { class: "score" }, plain.score.toFixed(3))),
      ...(changed
        ? [h("dt", {}, "Changed"), h("dd", { dir: "auto", class: "changed" }, markedChanges(plain.target.words, changed.target.words), h("span", { class: "score" }, changed.score.toFixed(3)))]
        : [h("dt", {}, "Changed"), h("dd", {}, "no changes yet")]),
    );
    undo.hidden = !changed;
    measure.replaceChildren(labelledSelect("Measure", MEASURES, kind, (chosen) => { kind = chosen; draw(); }));
    figure.place.hidden = !shown;
    if (shown) await figure.show(shown);
  }

  return { draw, close: figure.close };
}

/** The words of `after`; those that `before` does not have are marked. */
function markedChanges(before, after) {
  const left = new Map();
  for (const word of before) left.set(word, (left.get(word) ?? 0) + 1);
  return after.slice(0, -1).flatMap((word) => {
    const known = left.get(word) ?? 0;
    left.set(word, known - 1);
    return [known > 0 ? word : h("mark", {}, word), " "];
  });
}

/** Which word is replaced, and by what. */
function replacement() {
  const [at, ...by] = state.swap.split(":");
  return [Number(at) || 0, by.join(":")];
}

/** The text with the word replaced. Found in the text itself, so that white space stays as it was typed. */
function withReplacement(text, words) {
  const [at, by] = replacement();
  if (!by || at >= words.length - 1) return text;
  let begin = 0;
  for (const word of words.slice(0, at)) begin = text.indexOf(word, begin) + word.length;
  begin = text.indexOf(words[at], begin);
  return text.slice(0, begin) + by + text.slice(begin + words[at].length);
}
