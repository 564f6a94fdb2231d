// Elements from plain calls. Texts become text nodes: nothing that a user or a model writes is read as HTML.

/** An element with attributes, listeners (onclick: …), properties of style ("--w": …) and children. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** As `h`, for SVG. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(element, attributes);
  element.append(...children.flat());
  return element;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
}

let selects = 0;

/** A <select> with a label; `change` is called with the value chosen. */
export function labelledSelect(label, options, value, change) {
  const id = `select-${++selects}`;
  const select = h(
    "select",
    { id, onchange: (event) => change(event.target.value) },
    options.map(([name, title]) => h("option", { value: name, selected: name === value }, title)),
  );
  return h("span", { class: "labelled-select" }, h("label", { for: id }, label), " ", select);
}

export function button(label, press, attributes = {}) {
  return h("button", { type: "button", onclick: press, ...attributes }, label);
}

export const percent = (share) => `${(100 * share).toFixed(share > 0.995 || share < 0.0005 ? 1 : 0)} %`;

/** Calls `act` once `delay` milliseconds have passed without a further call. */
export function debounced(delay, act) {
  let timer = null;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...args), delay);
  };
}
