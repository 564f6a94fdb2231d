// Figures: the definitions that the command line draws, drawn here by the same script.

import { h } from "./dom.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const CELLS_AS_ELEMENTS = 2_500; // more are drawn as pixels, which stays smooth
let drawing = null;

function drawer() {
  drawing ??= import("/page/vega.js").then(() => globalThis.vegaEmbed);
  return drawing;
}

/** A place for one figure at a time. `show` is given { light, dark, datasets, label }. */
export function figurePlace() {
  const place = h("div", { class: "figure", role: "img", tabindex: "0" });
  let shown = null;
  let drawn = null;

  async function draw() {
    if (!shown) return;
    const own = shown;
    const embed = await drawer();
    if (own !== shown) return;
    const cells = Object.values(own.datasets ?? {}).reduce((sum, rows) => sum + rows.length, 0);
    (await drawn)?.finalize();
    drawn = embed(place, { ...own[dark.matches ? "dark" : "light"], datasets: own.datasets ?? {} }, {
      renderer: cells > CELLS_AS_ELEMENTS ? "canvas" : "svg",
      ast: true,
      actions: false,
      defaultStyle: false,
      tooltip: { disableDefaultStyle: true, theme: dark.matches ? "dark" : "light" },
    });
    await drawn;
    place.setAttribute("aria-label", own.label);
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
