// The heat map of any layer and head, by words or tokens; and thumbnails of all heads of the layer.

import { latest, post } from "./api.js";
import { button, h, labelledSelect } from "./dom.js";
import { figurePlace } from "./figure.js";
import { download } from "./saving.js";
import { change, state } from "./state.js";

const FORMATS = [["png", "PNG"], ["svg", "SVG"], ["csv", "CSV"], ["html", "offline page"]];

export function attentionView(place, page) {
  const ask = latest();
  const figure = figurePlace();
  const controls = h("div", { class: "controls" });
  const heads = h("div", { class: "heads", role: "group", "aria-label": "Heads of the layer" });
  const caveat = h("p", { class: "legend" }, "Each row shows what its word or token looked at. ",
    h("em", {}, "Attention is not an explanation: it only hints at what mattered."));
  place.append(controls, figure.place, caveat, heads);

  const layerRequest = () => ({
    text: state.text, model: state.model, layer: state.layer || null,
    words: state.tokens === "words", end: state.end, ...(state.target ? { target: state.target } : {}),
  });
  const headRequest = () => ({ ...layerRequest(), head: state.head });

  async function draw() {
    const found = await page.showingErrors(() => ask(async (signal) => ({
      heads: await post("/v1/heads", layerRequest(), signal),
      figure: await post("/v1/heatmap", { ...headRequest(), format: "spec" }, signal),
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
      labelledSelect("Layer", layers, found.layer, (layer) => change({ layer, head: "mean" }, { lasting: true })),
      labelledSelect("Head", [["mean", "mean"], ["max", "maximum"], ...numbers], state.head, (head) => change({ head })),
      labelledSelect("Rows and columns", [["words", "words"], ["tokens", "tokens"]], state.tokens, (tokens) => change({ tokens })),
      labelledSelect("End of sentence", [["shown", "shown"], ["hidden", "hidden"], ["renormalised", "left out, renormalised"]], state.end,
        (end) => change({ end })),
      h("span", { class: "saving" }, "Save as: ", FORMATS.flatMap(([format, title]) => [
        button(title, () => page.showingErrors(() => download("/v1/heatmap", { ...headRequest(), format }))), " "])),
    );
  }

  return { draw, close: figure.close };
}

/** A button that chooses a head, with its weights drawn small. */
function thumbnail(one, found) {
  const picture = h("canvas", { width: one.weights[0]?.length ?? 1, height: one.weights.length || 1, "aria-hidden": "true" });
  paint(picture, one.weights);
  const summary = `${one.kind}, ${one.entropy.toFixed(1)} bits`;
  return h("button", {
    type: "button",
    class: "head",
    "aria-pressed": String(state.head === String(one.head)),
    "aria-label": `Head ${one.head} of ${found.layer}: ${summary}`,
    onclick: () => change({ head: String(one.head) }),
  }, picture, h("span", {}, `head ${one.head}`), h("span", { class: "kind" }, summary));
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

