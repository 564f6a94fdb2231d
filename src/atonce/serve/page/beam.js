// Beam search as a tree: the candidates of each step, and which were kept. A click continues from one.

import { latest, post } from "./api.js";
import { button, h, labelledSelect, svg } from "./dom.js";
import { change, state } from "./state.js";

const BEAM_SIZES = ["1", "2", "3", "4", "5", "8"];
const ROW = 30; // pixels
const COLUMN = 118;

export function beamView(place, page) {
  const ask = latest();
  const controls = h("div", { class: "controls" });
  const tree = h("div", { class: "tree scroll", tabindex: "0", role: "group", "aria-label": "Beam tree" });
  const best = h("ol", { class: "nbest" });
  place.append(controls, tree, h("h2", {}, "Finished hypotheses, best first"), best, h("p", { class: "legend" },
    "Each column is a step; the thicker a line, the more probable the token. Dashed candidates were pruned. ",
    "Choose a candidate to force the output up to it and to search on from there."));

  async function draw() {
    const { width } = state;
    const found = await page.showingErrors(() => ask((signal) =>
      post("/v1/beam", { text: state.text, model: state.model, beam: Number(width), prefix: state.prefix || null }, signal)));
    if (!found) return;
    controls.replaceChildren(
      labelledSelect("Beam size", BEAM_SIZES.map((one) => [one, one]), width, (chosen) => change({ width: chosen })),
      ...(state.prefix ? [forcedPrefix()] : []),
    );
    drawTree(tree, found.nodes);
    best.replaceChildren(...found.nbest.map((one) =>
      h("li", {}, h("span", { dir: "auto" }, one.text), h("span", { class: "score" }, one.score.toFixed(3)))));
  }

  return { draw };
}

const forcedPrefix = () =>
  h("span", { dir: "auto" }, "Forced prefix: “", h("strong", {}, state.prefix), "” ",
    button("Remove the prefix", () => change({ prefix: "" })));

function drawTree(place, nodes) {
  const columns = new Map();
  for (const node of nodes) {
    if (!columns.has(node.step)) columns.set(node.step, []);
    columns.get(node.step).push(node);
  }
  for (const column of columns.values()) column.sort((one, two) => two.total - one.total);
  const tallest = Math.max(...[...columns.values()].map((column) => column.length));
  const steps = [...columns.keys()].sort((one, two) => one - two);
  const at = new Map();
  steps.forEach((step, x) => columns.get(step).forEach((node, y) => at.set(node.id, [x * COLUMN + 8, y * ROW + 8])));
  const lines = svg("svg", { width: steps.length * COLUMN + 16, height: tallest * ROW + 16, "aria-hidden": "true" });
  const buttons = [];
  for (const node of nodes) {
    const [x, y] = at.get(node.id);
    const parent = at.get(node.parent);
    if (parent) {
      lines.append(svg("path", {
        d: `M${parent[0] + 96},${parent[1] + 11}C${parent[0] + 107},${parent[1] + 11} ${x - 11},${y + 11} ${x},${y + 11}`,
        class: node.kept || node.ended ? "kept" : "dropped",
        "stroke-width": (0.6 + 3 * Math.exp(node.log_probability)).toFixed(2),
      }));
    }
    const description = `${node.token || "‹start›"}: log-probability ${node.total.toFixed(2)}${node.ended ? `, score ${node.score.toFixed(3)}, finished` : ""}${node.kept || node.ended ? "" : ", pruned"}`;
    const one = h("button", {
      type: "button",
      class: `candidate ${node.ended ? "ended" : node.kept ? "kept" : "dropped"}`,
      title: description,
      "aria-label": `Step ${node.step}, ${description}`,
      disabled: node.step === 0 || node.ended,
      onclick: () => change({ prefix: node.text }, { lasting: true }),
    }, h("span", { dir: "auto" }, node.token || "‹start›"), h("span", { class: "score" }, node.total.toFixed(1)));
    one.style.setProperty("inset-inline-start", `${x}px`);
    one.style.setProperty("inset-block-start", `${y}px`);
    buttons.push(one);
  }
  const paper = h("div", { class: "paper" }, lines, buttons);
  paper.style.setProperty("width", `${steps.length * COLUMN + 16}px`);
  paper.style.setProperty("height", `${tallest * ROW + 16}px`);
  place.replaceChildren(paper);
}
