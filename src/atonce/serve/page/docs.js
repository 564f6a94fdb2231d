// The interface, drawn from its own description.

import { get } from "./api.js";
import { h } from "./dom.js";

const main = document.getElementById("docs");

function named(schema, all) {
  return schema.$ref ? all[schema.$ref.split("/").at(-1)] : schema;
}

/** What a value is, in a word or two. */
function kind(schema, all) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.anyOf) return schema.anyOf.map((one) => kind(one, all)).join(" | ");
  if (schema.type === "array") return `list of ${schema.items ? kind(schema.items, all) : "anything"}`;
  const bounds = [["minimum", "≥"], ["maximum", "≤"], ["maxLength", "length ≤"]]
    .filter(([name]) => schema[name] !== undefined)
    .map(([name, sign]) => ` ${sign} ${schema[name]}`);
  return `${schema.type ?? "anything"}${bounds.join("")}`;
}

function fields(schema, all) {
  const found = named(schema, all);
  const required = new Set(found.required ?? []);
  const rows = Object.entries(found.properties ?? {}).map(([name, field]) =>
    h("tr", {},
      h("th", { scope: "row" }, h("code", {}, name)),
      h("td", {}, kind(field, all)),
      h("td", {}, required.has(name) ? "needed" : field.default === undefined || field.default === null ? "" : `default ${JSON.stringify(field.default)}`),
      h("td", {}, field.description ?? named(field, all).description ?? "")));
  return h("div", { class: "scroll", tabindex: "0" }, h("table", {}, h("tbody", {}, rows)));
}

function operation(path, method, what, all) {
  const body = what.requestBody?.content?.["application/json"]?.schema;
  const answer = what.responses?.["200"]?.content?.["application/json"]?.schema;
  const refusals = Object.entries(what.responses ?? {}).filter(([status]) => status !== "200" && status !== "500");
  return h("section", { "aria-label": `${method} ${path}` },
    h("h2", {}, h("code", {}, `${method.toUpperCase()} ${path}`)),
    h("p", {}, what.description ?? what.summary ?? ""),
    (what.parameters ?? []).length
      ? h("ul", {}, what.parameters.map((one) => h("li", {}, h("code", {}, one.name), ` ${kind(one.schema, all)}${one.required ? ", needed" : ""}`)))
      : null,
    body && h("details", { open: true }, h("summary", {}, "What is sent"), fields(body, all)),
    answer && h("details", {}, h("summary", {}, "What is answered"), fields(answer, all)),
    refusals.length
      ? h("details", {}, h("summary", {}, "Refusals"), h("ul", {}, refusals.map(([status, one]) => h("li", {}, `${status}: ${one.description}`))))
      : null);
}

try {
  const found = await get("/openapi.json");
  const all = found.components.schemas;
  document.querySelector("header p").append(` · version ${found.info.version}`);
  main.append(
    ...Object.entries(found.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, what]) => operation(path, method, what, all))),
    h("h2", {}, "Messages"),
    ...Object.entries(all).filter(([name]) => name.endsWith("Message")).map(([name, schema]) =>
      h("details", {}, h("summary", {}, h("code", {}, name), ` ${schema.description ?? ""}`), fields(schema, all))),
  );
} catch (error) {
  const fault = document.getElementById("fault");
  fault.hidden = false;
  fault.textContent = error.fault ? `${error.fault.what} – ${error.fault.why}. ${error.fault.fix}` : String(error);
}
