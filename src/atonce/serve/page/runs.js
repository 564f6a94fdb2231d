// Runs: recipe, scores with their signatures, and learning curves, which follow a training that is running.

import { get } from "./api.js";
import { h } from "./dom.js";
import { figurePlace } from "./figure.js";

const SECONDS = 2; // between requests for the state of trainings

export function runsView(place, page) {
  const figures = new Map();
  let timer = null;
  let open = true;

  async function draw() {
    const found = await page.showingErrors(() => get("/v1/runs"));
    if (!found || !open) return;
    for (const run of found.runs) {
      if (!figures.has(run.name)) {
        const figure = figurePlace();
        const facts = h("div");
        figures.set(run.name, { figure, facts, seen: -1 });
        place.append(h("section", { class: "run", "aria-label": run.name }, h("h2", {}, run.name), facts, figure.place,
          h("details", {}, h("summary", {}, "Recipe"), h("pre", { tabindex: "0" }, run.recipe))));
      }
      const known = figures.get(run.name);
      known.facts.replaceChildren(facts(run));
      if (run.entries !== known.seen && run.curves) {
        known.seen = run.entries;
        await known.figure.show(run.curves);
      }
      known.figure.place.hidden = !run.curves;
    }
    clearTimeout(timer);
    if (open) timer = setTimeout(draw, 1000 * SECONDS);
  }

  return {
    draw: (changed) => (changed && !changed.has("view") ? null : draw()),
    close() {
      open = false;
      clearTimeout(timer);
      for (const { figure } of figures.values()) figure.close();
    },
  };
}

function facts(run) {
  const rows = Object.entries(run.scores).map(([name, score]) =>
    h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, score.value), h("td", { class: "signature" }, score.signature)));
  return h("div", {},
    h("p", {}, [run.about, run.step ? `step ${run.step.toLocaleString("en")}` : ""].filter(Boolean).join(" · "),
      run.training ? h("strong", { class: "live" }, " · training now") : ""),
    run.damage ? h("p", { class: "warning", role: "alert" }, `Damaged: ${run.damage}.`) : "",
    rows.length
      ? h("div", { class: "scroll", tabindex: "0" }, h("table", { class: "scores" }, h("tbody", {}, rows)))
      : h("p", {}, "No scores yet."));
}
