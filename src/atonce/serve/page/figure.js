// Figures: the Vega-Lite charts that the command line draws, drawn here by the same script.

import { h } from "./dom.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const CELLS_AS_ELEMENTS = 2_500; // more are drawn as pixels, which stays smooth
let script = null;

function vega() {
  script ??= import("/page/vega.js").then(() => globalThis.vegaEmbed);
  return script;
}

/** A place for one figure at a time. `show` is given { light, dark, datasets, label, maps }. */
export function figurePlace() {
  const drawing = h("div", { class: "drawing scroll", role: "img", tabindex: "0" });
  const tables = h("div", { class: "scroll", tabindex: "0" });
  const numbers = h("details", { ontoggle: () => tabulate() }, h("summary", {}, "Numbers as a table"), tables);
  const place = h("div", { class: "figure" }, drawing, numbers);
  let shown = null;
  let drawn = null;

  async function draw() {
    if (!shown) return;
    const own = shown;
    const embed = await vega();
    if (own !== shown) return;
    const cells = Object.values(own.datasets ?? {}).reduce((sum, rows) => sum + rows.length, 0);
    (await drawn)?.finalize();
    drawn = embed(drawing, { ...own[dark.matches ? "dark" : "light"], datasets: own.datasets ?? {} }, {
      renderer: cells > CELLS_AS_ELEMENTS ? "canvas" : "svg",
      ast: true,
      actions: false,
      defaultStyle: false,
      tooltip: { disableDefaultStyle: true, theme: dark.matches ? "dark" : "light" },
    });
    await drawn;
    drawing.setAttribute("aria-label", own.label);
    numbers.hidden = !own.maps;
    tabulate();
  }

  /** Only once the tables are opened: a long text has thousands of cells. */
  function tabulate() {
    tables.replaceChildren(...(numbers.open && shown?.maps ? shown.maps.map(table) : []));
  }

  dark.addEventListener("change", draw);
  return {
    place,
    async show(figure) {
      shown = figure;
      await draw();
    },
    close() {
      dark.removeEventListener("change", draw);
      drawn?.then((one) => one.finalize());
    },
  };
}

function table(map) {
  const words = (tag, scope, list) => list.map((word) => h(tag, { scope, dir: "auto" }, word));
  const rows = map.weights.map((weights, at) =>
    h("tr", {}, words("th", "row", [map.rows[at]]), weights.map((weight) => h("td", {}, weight === null ? "–" : weight.toFixed(3)))));
  return h("table", {},
    h("caption", {}, `${map.title}. ${map.rule}`),
    h("thead", {}, h("tr", {}, h("td", {}, `${map.row_axis} \\ ${map.column_axis}`), words("th", "col", map.columns))),
    h("tbody", {}, rows));
}
