// The heat map: any layer, any head, words or tokens; and all heads of the layer at a glance.

import { latest, post } from "./api.js";
import { button, choice, h } from "./dom.js";
import { figurePlace } from "./figure.js";
import { download } from "./saving.js";
import { change, state } from "./state.js";

const FORMATS = [["png", "PNG"], ["svg", "SVG"], ["csv", "CSV"], ["html", "offline page"]];

export function attentionView(place, page) {
  const ask = latest();
  const figure = figurePlace();
  const controls = h("div", { class: "controls" });
  const heads = h("div", { class: "heads", role: "group", "aria-label": "Heads of the layer" });
  const caveat = h("p", { class: "legend" }, "Rows look at columns. ",
    h("em", {}, "Attention is a hint at what mattered, no explanation."));
  place.append(controls, figure.place, caveat, heads);

  const layerWanted = () => ({
    text: state.text, model: state.model, layer: state.layer || null,
    words: state.tokens === "words", end: state.end, ...(state.target ? { target: state.target } : {}),
  });
  const wanted = () => ({ ...layerWanted(), head: state.head });

  async function draw() {
    const found = await page.daring(() => ask(async (signal) => ({
      heads: await post("/v1/heads", layerWanted(), signal),
      figure: await post("/v1/heatmap", { ...wanted(), format: "spec" }, signal),
    })));
    if (!found) return;
    drawControls(found.heads);
    heads.replaceChildren(...found.heads.heads.map((one) => thumbnail(one, found.heads)));
    await figure.show(found.figure);
  }

  function drawControls(found) {
    const layers = found.layers.map((one) => [one.layer, `${one.layer} (${one.heads} head${one.heads > 1 ? "s" : ""})`]);
    const numbers = found.heads.map((one) => [String(one.head), `head ${one.head}`]);
    controls.replaceChildren(
      choice("Layer", layers, found.layer, (layer) => change({ layer, head: "mean" }, { lasting: true })),
      choice("Head", [["mean", "mean"], ["max", "greatest"], ...numbers], state.head, (head) => change({ head })),
      choice("Of", [["words", "words"], ["tokens", "tokens"]], state.tokens, (tokens) => change({ tokens })),
      choice("End of sentence", [["shown", "shown"], ["hidden", "hidden"], ["renormalised", "left out"]], state.end,
        (end) => change({ end })),
      h("span", { class: "saving" }, "Save: ", FORMATS.flatMap(([format, title]) => [
        button(title, () => page.daring(() => download("/v1/heatmap", { ...wanted(), format }))), " "])),
    );
  }

  return { draw, close: figure.close };
}

/** One head, as a picture to press. */
function thumbnail(one, found) {
  const picture = h("canvas", { width: one.weights[0]?.length ?? 1, height: one.weights.length || 1, "aria-hidden": "true" });
  paint(picture, one.weights);
  const said = `${one.kind}, ${one.entropy.toFixed(1)} bits`;
  return h("button", {
    type: "button",
    class: "head",
    "aria-pressed": String(state.head === String(one.head)),
    "aria-label": `Head ${one.head} of ${found.layer}: ${said}`,
    onclick: () => change({ head: String(one.head) }),
  }, picture, h("span", {}, `head ${one.head}`), h("span", { class: "kind" }, said));
}

function paint(canvas, weights) {
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const ramp = Array.from({ length: 9 }, (_, step) => style.getPropertyValue(`--ramp-${step}`).trim());
  weights.forEach((row, y) => row.forEach((weight, x) => {
    context.fillStyle = ramp[Math.round(8 * Math.max(0, Math.min(1, weight)))];
    context.fillRect(x, y, 1, 1);
  }));
}

