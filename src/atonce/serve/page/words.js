// Source and output words, linked by attention: pointing at one shows what it looked at, or was looked at by.

import { h, percent, svg } from "./dom.js";

const LINKS_UP_TO = 60; // words on both sides; beyond it only the links of the word pointed at are drawn
const FAINT = 0.15; // links below this weight are not drawn

/**
 * `map`: { rows, columns, weights }, output words × source words, or null without attention.
 * `confidence`: of each output word, or null.
 */
export function linkedWords(source, target, map, confidence) {
  const sides = {
    source: source.words.slice(0, -1).map((word) => wordOf(word)),
    target: target.words.slice(0, -1).map((word, place) => wordOf(word, confidence?.[place])),
  };
  const lines = svg("svg", { class: "links", "aria-hidden": "true" });
  const spoken = h("p", { class: "spoken", role: "status" });
  const figure = h(
    "div",
    { class: "linked" },
    side("Source", sides.source),
    lines,
    side("Output", sides.target),
    spoken,
  );
  const weight = (side, one, other) => (side === "target" ? map.weights[one][other] : map.weights[other][one]);

  function show(side, place) {
    const other = side === "target" ? "source" : "target";
    const weights = sides[other].map((_, at) => weight(side, place, at));
    sides[other].forEach((word, at) => word.style.setProperty("--weight", Math.min(1, weights[at]).toFixed(3)));
    figure.classList.add("pointing");
    sides[side][place].classList.add("pointed");
    draw(side, place);
    const strongest = weights
      .map((share, at) => [share, at])
      .filter(([share]) => share >= FAINT)
      .sort(([one], [two]) => two - one)
      .slice(0, 4)
      .map(([share, at]) => `${sides[other][at].dataset.word} ${percent(share)}`);
    const verb = side === "target" ? "looked at" : "was looked at by";
    const probability = side === "target" && confidence ? ` Its probability was ${percent(confidence[place])}.` : "";
    spoken.textContent = `“${sides[side][place].dataset.word}” ${verb} ${strongest.join(", ") || "no word in particular"}.${probability}`;
  }

  function hide() {
    figure.classList.remove("pointing");
    figure.querySelectorAll(".pointed").forEach((word) => word.classList.remove("pointed"));
    draw();
  }

  function draw(side = null, place = null) {
    const box = lines.getBoundingClientRect();
    if (!map || !box.width) return;
    const few = sides.source.length + sides.target.length <= LINKS_UP_TO;
    const found = [];
    sides.target.forEach((to, row) =>
      sides.source.forEach((from, column) => {
        const share = map.weights[row][column];
        const meant = side === null ? few : side === "target" ? row === place : column === place;
        if (share >= FAINT && meant) found.push([from, to, share]);
      }),
    );
    lines.replaceChildren(
      ...found.map(([from, to, share]) => {
        const [one, two] = [from.getBoundingClientRect(), to.getBoundingClientRect()];
        const [x1, x2] = [one, two].map((word) => word.left + word.width / 2 - box.left);
        const [y1, y2] = [one.bottom - box.top, two.top - box.top];
        const middle = (y1 + y2) / 2;
        return svg("path", {
          d: `M${x1},${y1}C${x1},${middle} ${x2},${middle} ${x2},${y2}`,
          "stroke-width": (0.5 + 3 * share).toFixed(2),
          "stroke-opacity": (side === null ? 0.15 + 0.6 * share : 0.3 + 0.7 * share).toFixed(2),
        });
      }),
    );
  }

  if (map) {
    for (const [name, words] of Object.entries(sides)) {
      words.forEach((word, place) => {
        word.addEventListener("pointerenter", () => show(name, place));
        word.addEventListener("pointerleave", hide);
        word.addEventListener("focus", () => show(name, place));
        word.addEventListener("blur", hide);
        word.addEventListener("click", () => word.focus());
        word.addEventListener("keydown", (event) => moveFocus(event, words, place));
      });
    }
    const resized = new ResizeObserver(() => draw());
    resized.observe(figure);
  }
  requestAnimationFrame(() => draw());
  return figure;
}

function wordOf(word, confidence) {
  const element = h("button", { type: "button", class: "word" }, word);
  element.dataset.word = word;
  if (confidence !== undefined) {
    element.style.setProperty("--doubt", (1 - confidence).toFixed(3));
    element.title = `probability ${percent(confidence)}`;
  }
  return element;
}

function side(name, words) {
  return h("div", { class: "side", role: "group", "aria-label": `${name}, word by word`, dir: "auto" },
    h("span", { class: "first-letter", "aria-hidden": "true" }, words.map((word) => word.dataset.word).join(" ").slice(0, 40)),
    words.flatMap((word) => [word, " "]));
}

function moveFocus(event, words, place) {
  const by = { ArrowRight: 1, ArrowLeft: -1, Home: -place, End: words.length - 1 - place }[event.key];
  if (by === undefined) return;
  const backwards = getComputedStyle(words[0].parentElement).direction === "rtl" && event.key.startsWith("Arrow");
  words[Math.max(0, Math.min(words.length - 1, place + (backwards ? -by : by)))].focus();
  event.preventDefault();
}
