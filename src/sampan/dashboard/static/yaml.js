// An object as YAML for reading, with colours. Writes block style; strings are quoted where YAML would read them otherwise.

import { h } from "./dom.js";

const BARE = /^[A-Za-z_./$-][\w ./$@%+=,()~^!?;<>-]*(:[\w./@+=-]+)*$/;
const SPECIAL = /^(true|false|null|yes|no|on|off|y|n|~|-|\.|=|[-+.]?[\d.][\d_.eExXob]*|-.*|.*\s)$/i;

function scalar(value) {
  if (typeof value !== "string") return h("span", { class: "y-value" }, JSON.stringify(value));
  const bare = BARE.test(value) && !SPECIAL.test(value) && !value.includes(": ") && !value.includes(" #");
  return h("span", { class: "y-text" }, bare ? value : JSON.stringify(value));
}

const isEmpty = (value) => typeof value === "object" && (value === null || !Object.keys(value).length);

function* block(value, indent, mask) {
  const space = "  ".repeat(indent);
  if (Array.isArray(value)) {
    for (const item of value) {
      yield `${space}- `;
      yield* inline(item, indent + 1, true, mask);
    }
    return;
  }
  for (const [name, item] of Object.entries(value)) {
    yield space;
    yield* entry(name, item, indent, mask);
  }
}

function* entry(name, item, indent, mask) {
  yield h("span", { class: "y-name" }, BARE.test(name) && !SPECIAL.test(name) ? name : JSON.stringify(name));
  yield ":";
  const hidden = mask && indent === 0 && (name === "data" || name === "stringData") ? mask : null;
  if (hidden && item && typeof item === "object") {
    yield "\n";
    for (const key of Object.keys(item))
      yield* ["  ", h("span", { class: "y-name" }, key), ": ", h("span", { class: "y-hidden" }, hidden), "\n"];
  } else yield* inline(item, indent + 1, false, null);
}

/** What follows `name:` or `- `; a map after a dash starts on the dash's line. */
function* inline(value, indent, dash, mask) {
  const gap = dash ? "" : " ";
  if (typeof value === "string" && value.includes("\n") && !/[^\n\t\x20-\uffff]/.test(value) && !/^\s/.test(value)) {
    yield `${gap}|${value.endsWith("\n") ? (value.endsWith("\n\n") ? "+" : "") : "-"}\n`;
    const text = value
      .replace(/\n$/, "")
      .split("\n")
      .map((line) => (line ? "  ".repeat(indent) + line : ""))
      .join("\n");
    yield h("span", { class: "y-text" }, text);
    yield "\n";
  } else if (value === null || typeof value !== "object") yield* [gap, scalar(value), "\n"];
  else if (isEmpty(value)) yield `${gap}${Array.isArray(value) ? "[]" : "{}"}\n`;
  else if (!dash) {
    yield "\n";
    yield* block(value, Array.isArray(value) ? indent - 1 : indent, mask);
  } else if (Array.isArray(value)) yield* ["\n", ...block(value, indent, mask)];
  else {
    const [[name, first], ...rest] = Object.entries(value);
    yield* entry(name, first, indent, null);
    yield* block(Object.fromEntries(rest), indent, null);
  }
}

/** Nodes and texts of an object's YAML; `mask` stands for the values below `data`. */
export const toYaml = (object, mask) => [...block(object, 0, mask)];
