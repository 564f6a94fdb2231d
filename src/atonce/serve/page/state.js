// What is looked at, kept in the address bar: a link shows the same to whoever opens it.

const BEGINNING = {
  view: "translation", model: "", text: "", other: "", target: "", layer: "", head: "mean",
  tokens: "words", end: "shown", width: "3", phase: "training", drop: "", hide: "", prefix: "", swap: "",
  sample: "", seed: "1",
};

export const state = { ...BEGINNING };
const listeners = new Set();

function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(BEGINNING)) state[name] = given.get(name) ?? BEGINNING[name];
}

function address() {
  const said = Object.entries(state).filter(([name, value]) => value !== BEGINNING[name]);
  return `#${new URLSearchParams(said)}`;
}

/** Changes what is looked at. `lasting`: the browser can go back to what was before. */
export function change(changes, { lasting = false } = {}) {
  const before = { ...state };
  Object.assign(state, changes);
  const changed = new Set(Object.keys(BEGINNING).filter((name) => state[name] !== before[name]));
  if (!changed.size) return;
  history[lasting ? "pushState" : "replaceState"](null, "", address());
  for (const listener of listeners) listener(changed);
}

/** `listener` is told the names of what has changed. */
export function onChange(listener) {
  listeners.add(listener);
}

fromAddress();
addEventListener("popstate", () => {
  fromAddress();
  for (const listener of listeners) listener(new Set(Object.keys(BEGINNING)));
});
