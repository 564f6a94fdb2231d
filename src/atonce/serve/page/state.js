// The state of the page, kept in the address bar, so that a link shows the same to whoever opens it.

const DEFAULTS = {
  view: "translation", model: "", text: "", other: "", target: "", layer: "", head: "mean",
  tokens: "words", end: "shown", width: "3", phase: "training", drop: "", hide: "", prefix: "", swap: "",
  sample: "", seed: "1",
};

export const state = { ...DEFAULTS };
const listeners = new Set();

function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(DEFAULTS)) state[name] = given.get(name) ?? DEFAULTS[name];
}

function address() {
  const changed = Object.entries(state).filter(([name, value]) => value !== DEFAULTS[name]);
  return `#${new URLSearchParams(changed)}`;
}

/** Changes the state. `lasting`: the browser's Back button returns to what was before. */
export function change(changes, { lasting = false } = {}) {
  const before = { ...state };
  Object.assign(state, changes);
  const changed = new Set(Object.keys(DEFAULTS).filter((name) => state[name] !== before[name]));
  if (!changed.size) return;
  history[lasting ? "pushState" : "replaceState"](null, "", address());
  for (const listener of listeners) listener(changed);
}

/** `listener` is called with the set of names that have changed. */
export function onChange(listener) {
  listeners.add(listener);
}

fromAddress();
addEventListener("popstate", () => {
  fromAddress();
  for (const listener of listeners) listener(new Set(Object.keys(DEFAULTS)));
});
