// The REST interface, as /openapi.json describes it.

import { get } from "./api.js";
import { h } from "./dom.js";

const main = document.getElementById("docs");

function resolved(schema, all) {
  return schema.$ref ? all[schema.$ref.split("/").at(-1)] : schema;
}

/** The type of a value, in a word or two. */
function typeOf(schema, all) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.anyOf) return schema.anyOf.map((one) => typeOf(one, all)).join(" | ");
  if (schema.type === "array") return `list of ${schema.items ? typeOf(schema.items, all) : "anything"}`;
  const bounds = [["minimum", "≥"], ["maximum", "≤"], ["maxLength", "length ≤"]]
    // What is beyond 2^53 has been rounded by now: then only the description says the bound.
    .filter(([name]) => schema[name] !== undefined && schema[name] <= Number.MAX_SAFE_INTEGER)
    .map(([name, sign]) => ` ${sign} ${schema[name]}`);
  return `${schema.type ?? "anything"}${bounds.join("")}`;
}

function fields(schema, all) {
  const found = resolved(schema, all);
  const required = new Set(found.required ?? []);
  const rows = Object.entries(found.properties ?? {}).map(([name, field]) =>
    h("tr", {},
      h("th", { scope: "row" }, h("code", {}, name)),
      h("td", {}, typeOf(field, all)),
      h("td", {}, required.has(name) ? "required" : field.default === undefined || field.default === null ? "" : `default ${JSON.stringify(field.default)}`),
      h("td", {}, field.description ?? resolved(field, all).description ?? "")));
  return h("div", { class: "scroll", tabindex: "0" }, h("table", {}, h("tbody", {}, rows)));
}

function operation(path, method, what, all) {
  const body = what.requestBody?.content?.["application/json"]?.schema;
  const response = what.responses?.["200"]?.content?.["application/json"]?.schema;
  const errors = Object.entries(what.responses ?? {}).filter(([status]) => status !== "200" && status !== "500");
  return h("section", { "aria-label": `${method} ${path}` },
    h("h2", {}, h("code", {}, `${method.toUpperCase()} ${path}`)),
    h("p", {}, what.description ?? what.summary ?? ""),
    (what.parameters ?? []).length
      ? h("ul", {}, what.parameters.map((one) => h("li", {}, h("code", {}, one.name), ` ${typeOf(one.schema, all)}${one.required ? ", required" : ""}`)))
      : null,
    body && h("details", { open: true }, h("summary", {}, "Request body"), fields(body, all)),
    response && h("details", {}, h("summary", {}, "Response"), fields(response, all)),
    errors.length
      ? h("details", {}, h("summary", {}, "Errors"), h("ul", {}, errors.map(([status, one]) => h("li", {}, `${status}: ${one.description}`))))
      : null);
}

try {
  const found = await get("/openapi.json");
  const all = found.components.schemas;
  document.querySelector("header p").append(` · version ${found.info.version}`);
  main.append(
    ...Object.entries(found.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, what]) => operation(path, method, what, all))),
    h("h2", {}, "Schemas"),
    ...Object.entries(all).filter(([name]) => name.endsWith("Message")).map(([name, schema]) =>
      h("details", {}, h("summary", {}, h("code", {}, name), ` ${schema.description ?? ""}`), fields(schema, all))),
  );
} catch (error) {
  const place = document.getElementById("error");
  place.hidden = false;
  place.textContent = error.body ? `${error.body.what} – ${error.body.why}. ${error.body.fix}` : String(error);
}
