// The tick player: cells of one tick are computed in parallel. Recurrent nets fill column by column.

import { get, latest } from "./api.js";
import { button, h, labelledSelect } from "./dom.js";
import { change, state } from "./state.js";

const SECONDS = 8; // to play all ticks

export function ticksView(place, page) {
  const ask = latest();
  const controls = h("div", { class: "controls" });
  const player = h("div", { class: "controls player" });
  const grids = h("div", { class: "two" });
  place.append(controls, player, grids, h("p", { class: "legend" },
    "A tick is one step of the critical path, given unlimited processors. ",
    "Cells of the same tick are computed in parallel. Point at an output to see which cells it depends on."));
  let timer = null;
  let views = [];
  let now = 0;

  const slider = h("input", { type: "range", min: 0, max: 1, value: 0, id: "tick", "aria-label": "Tick" });
  const shown = h("output", { for: "tick" });
  const playing = button("Play", () => (timer ? stop() : play()), { id: "play" });
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  player.append(playing, slider, shown);

  function play() {
    const last = Number(slider.max);
    if (now >= last) show(0);
    playing.textContent = "Pause";
    const pause = Math.max(40, (1000 * SECONDS) / last);
    const each = Math.max(1, Math.round((last * pause) / (1000 * SECONDS)));
    timer = setInterval(() => {
      show(Math.min(last, now + each));
      if (now >= last) stop();
    }, pause);
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    playing.textContent = "Play";
  }

  function show(tick) {
    now = tick;
    slider.value = tick;
    shown.textContent = `tick ${tick} of ${slider.max}`;
    slider.setAttribute("aria-valuetext", shown.textContent);
    for (const view of views) view.show(tick);
  }

  async function draw() {
    const found = await page.showingErrors(() => ask(async (signal) => {
      const { architectures } = await get("/v1/architectures", signal);
      const names = [...page.models.keys(), ...architectures];
      const one = state.model || names[0];
      const other = names.includes(state.other) ? state.other : (architectures.find((name) => name.includes("additive")) ?? names[0]);
      const grids = await Promise.all([one, other].map((name) =>
        get(`/v1/ticks?${new URLSearchParams({ model: name, phase: state.phase })}`, signal)));
      return { names, other, grids };
    }));
    if (!found) return;
    controls.replaceChildren(
      labelledSelect("Phase", [["training", "training: the output is known"], ["generation", "generation: token by token"]], state.phase,
        (phase) => change({ phase }, { lasting: true })),
      labelledSelect("Compare with", found.names.map((name) => [name, name]), found.other, (other) => change({ other }, { lasting: true })),
    );
    stop();
    views = found.grids.map(grid);
    grids.replaceChildren(...views.map((view) => view.element));
    slider.max = Math.max(...found.grids.map((one) => one.last));
    show(0);
  }

  return { draw: (changed) => (concerned(changed) ? draw() : null), close: stop };
}

/** Whether a change concerns this view: a new text does not, as ticks depend on lengths that are fixed. */
const concerned = (changed) => !changed || ["model", "other", "phase", "view"].some((name) => changed.has(name));

function grid(found) {
  const cells = found.rows.map((row) => row.ticks.map((tick) => h("td", { tabindex: "-1" }, String(tick))));
  const counter = h("p", { class: "counter", role: "status" });
  const outputs = found.rows.length - 1;

  function cone(output) {
    found.rows.forEach((row, at) => cells[at].forEach((cell, place) => cell.classList.toggle("into", output !== null && row.into[place][output] === 1)));
  }
  cells[outputs].forEach((cell, place) => {
    cell.tabIndex = 0;
    cell.setAttribute("aria-label", `output ${place + 1}, computed at tick ${found.rows[outputs].ticks[place]}`);
    for (const [begin, end] of [["pointerenter", "pointerleave"], ["focus", "blur"]]) {
      cell.addEventListener(begin, () => cone(place));
      cell.addEventListener(end, () => cone(null));
    }
  });
  const lines = found.rows.map((row, at) => h("tr", {}, h("th", { scope: "row" }, row.name), cells[at])).reverse();
  const element = h("section", { class: "ticks", "aria-label": found.title },
    h("h2", {}, found.title),
    counter,
    h("div", { class: "scroll", tabindex: "0" }, h("table", {}, h("caption", {}, "Layers from bottom to top, positions from left to right; the number is the tick"), h("tbody", {}, lines))));

  function show(tick) {
    let computed = 0;
    found.rows.forEach((row, at) => row.ticks.forEach((when, place) => {
      const cell = cells[at][place];
      cell.classList.toggle("lit", when <= tick);
      cell.classList.toggle("now", when === tick && tick > 0);
      computed += when <= tick;
    }));
    const all = cells.flat().length;
    counter.textContent = `${computed} of ${all} cells · work ${found.work.toLocaleString("en")} · span ${found.last} · `
      + `parallelism ${Math.round(found.parallelism).toLocaleString("en")}`;
  }

  return { element, show };
}
