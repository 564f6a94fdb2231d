// The tick player: all cells of a tick are computed at once. Recurrent nets fill column by column.

import { get, latest } from "./api.js";
import { button, choice, h } from "./dom.js";
import { change, state } from "./state.js";

const SECONDS = 8; // that a whole run takes to play

export function ticksView(place, page) {
  const ask = latest();
  const controls = h("div", { class: "controls" });
  const player = h("div", { class: "controls player" });
  const grids = h("div", { class: "two" });
  place.append(controls, player, grids, h("p", { class: "legend" },
    "A tick is one step of the longest chain of operations, with as many processors as wanted. ",
    "Cells of the same tick light up together. Point at an output to see what goes into it."));
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
    const found = await page.daring(() => ask(async (signal) => {
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
      choice("While it", [["training", "learns: the output is known"], ["generation", "writes: word by word"]], state.phase,
        (phase) => change({ phase }, { lasting: true })),
      choice("Beside", found.names.map((name) => [name, name]), found.other, (other) => change({ other }, { lasting: true })),
    );
    stop();
    views = found.grids.map(grid);
    grids.replaceChildren(...views.map((view) => view.element));
    slider.max = Math.max(...found.grids.map((one) => one.last));
    show(0);
  }

  return { draw: (changed) => (needed(changed) ? draw() : null), close: stop };
}

/** Whether what has changed is seen here: a text is not. */
const needed = (changed) => !changed || ["model", "other", "phase", "view"].some((name) => changed.has(name));

function grid(found) {
  const cells = found.rows.map((row) => row.ticks.map((tick) => h("td", { tabindex: "-1" }, String(tick))));
  const counter = h("p", { class: "counter", role: "status" });
  const outputs = found.rows.length - 1;

  function cone(output) {
    found.rows.forEach((row, at) => cells[at].forEach((cell, place) => cell.classList.toggle("into", output !== null && row.into[place][output] === 1)));
  }
  cells[outputs].forEach((cell, place) => {
    cell.tabIndex = 0;
    cell.setAttribute("aria-label", `output ${place + 1}, there at tick ${found.rows[outputs].ticks[place]}`);
    for (const [begin, end] of [["pointerenter", "pointerleave"], ["focus", "blur"]]) {
      cell.addEventListener(begin, () => cone(place));
      cell.addEventListener(end, () => cone(null));
    }
  });
  const lines = found.rows.map((row, at) => h("tr", {}, h("th", { scope: "row" }, row.name), cells[at])).reverse();
  const element = h("section", { class: "ticks", "aria-label": found.title },
    h("h2", {}, found.title),
    counter,
    h("div", { class: "scroll", tabindex: "0" }, h("table", {}, h("caption", {}, "Layers upwards, positions to the right; each cell says its tick"), h("tbody", {}, lines))));

  function show(tick) {
    let there = 0;
    found.rows.forEach((row, at) => row.ticks.forEach((when, place) => {
      const cell = cells[at][place];
      cell.classList.toggle("lit", when <= tick);
      cell.classList.toggle("now", when === tick && tick > 0);
      there += when <= tick;
    }));
    const all = cells.flat().length;
    counter.textContent = `${there} of ${all} cells · work ${found.work.toLocaleString("en")} · span ${found.last} · `
      + `parallelism ${Math.round(found.parallelism).toLocaleString("en")}`;
  }

  return { element, show };
}
