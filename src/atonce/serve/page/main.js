// The page: a text, a model, and views of what the model does with the text.

import { HTTPError, get, latest, post, rememberToken } from "./api.js";
import { button, h, debounced } from "./dom.js";
import { change, onChange, state } from "./state.js";
import { attentionView } from "./attention.js";
import { beamView } from "./beam.js";
import { compareView } from "./compare.js";
import { runsView } from "./runs.js";
import { ticksView } from "./ticks.js";
import { translationView } from "./translation.js";
import { whatIfView } from "./what-if.js";

const VIEWS = {
  translation: ["Translation", translationView],
  attention: ["Attention", attentionView],
  compare: ["Side by side", compareView],
  ticks: ["Parallelism", ticksView],
  beam: ["Beam", beamView],
  "what-if": ["What if", whatIfView],
  runs: ["Runs", runsView],
};
/** Views that need no text. */
const WITHOUT_TEXT = new Set(["ticks", "runs"]);
const TYPING = 60; // milliseconds without a key before a text is sent

const byId = (id) => document.getElementById(id);
const models = new Map();
const look = latest();
let current = null; // the view that is open: { draw, close }

function showError(error) {
  const place = byId("error");
  if (!(error instanceof HTTPError)) console.error(error);
  const { what, why, fix } = error.body ?? { what: "error in this page", why: String(error), fix: "reload it" };
  place.replaceChildren(h("strong", {}, what), ` – ${why}. `, h("em", {}, fix));
  place.hidden = false;
  byId("token-form").hidden = error.status !== 401;
}

/** Runs something that may fail; its error is shown, and hidden again by the next success. */
async function showingErrors(act) {
  try {
    const found = await act();
    if (found !== undefined) byId("error").hidden = true;
    return found;
  } catch (error) {
    showError(error);
    return undefined;
  }
}

const page = {
  models,
  showingErrors,
  /** What the chosen model makes of the text. A new text aborts the request for the one before. */
  async look(options = {}) {
    const body = { text: state.text, model: state.model, ...options };
    if (state.target) body.target = state.target;
    return showingErrors(() => look((signal) => post("/v1/look", body, signal)));
  },
};

function open() {
  const [, view] = VIEWS[state.view] ?? VIEWS.translation;
  current?.close?.();
  const place = byId("view");
  place.replaceChildren();
  place.dataset.view = state.view;
  current = view(place, page);
  drawTabs();
  draw();
}

function draw(changed = null) {
  if (!state.text.trim() && !WITHOUT_TEXT.has(state.view)) {
    byId("view").classList.add("empty");
    return;
  }
  byId("view").classList.remove("empty");
  showingErrors(async () => (await current.draw(changed)) ?? null);
}

function drawTabs() {
  byId("tabs").replaceChildren(
    ...Object.entries(VIEWS).map(([name, [title]]) =>
      h("li", {}, h("a", {
        href: `#view=${name}`,
        "aria-current": name === state.view ? "page" : null,
        onclick: (event) => {
          event.preventDefault();
          change({ view: name }, { lasting: true });
        },
      }, title)),
    ),
  );
  document.querySelector("#tabs [aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
}

function drawModel() {
  const model = models.get(state.model);
  byId("model").value = state.model;
  const languages = model.source && model.target ? ` · ${model.source} → ${model.target}` : "";
  const weights = `${model.weights.toLocaleString("en", { notation: "compact", compactDisplay: "long" })} weights`;
  byId("about").textContent = `${model.about || model.task}${languages} · ${model.architecture} · ${weights}`;
  byId("text").lang = model.source ?? "";
  byId("examples").replaceChildren(
    ...model.examples.map((text) => button(text, () => setText(text), { dir: "auto", lang: model.source ?? "" })),
  );
}

function setText(text) {
  byId("text").value = text;
  change({ text, target: "", prefix: "", hide: "", swap: "" });
}

async function start() {
  const found = await get("/v1/models");
  for (const model of found.models) if (model.task !== "classification" && model.task !== "reading") models.set(model.name, model);
  byId("token-form").hidden = true;
  byId("model").replaceChildren(...[...models.keys()].map((name) => h("option", { value: name }, name)));
  if (!models.size) {
    change({ view: "runs" });
    byId("view").classList.remove("empty");
    document.querySelector(".input").hidden = true;
  } else {
    const first = [...models.keys()][0];
    if (!models.has(state.model)) change({ model: first });
    const typed = byId("text").value; // before the models were known
    if (!state.text) change({ text: typed.trim() ? typed : models.get(state.model).examples[0] ?? "" });
    byId("text").value = state.text;
    drawModel();
  }
  open();
  return null;
}

byId("text").addEventListener("input", debounced(TYPING, () => setText(byId("text").value)));
byId("model").addEventListener("change", (event) =>
  change({ model: event.target.value, layer: "", head: "mean", target: "", prefix: "", drop: "", hide: "", swap: "" }));
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  rememberToken(byId("token").value);
  showingErrors(start);
});
onChange((changed) => {
  if (changed.has("text") && byId("text").value !== state.text) byId("text").value = state.text;
  if (changed.has("model") && models.has(state.model)) drawModel();
  if (!current) return; // `start` has not opened the first view yet
  if (changed.has("view")) open();
  else draw(changed);
});
showingErrors(start);
