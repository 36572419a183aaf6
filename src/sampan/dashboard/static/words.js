// How values look: ages, amounts, states in colours, the API's own words in the person's language.

import { h } from "./dom.js";
import { t } from "./settings.js";

const GOOD = /^(Running|Ready|Active|Bound|Available|Succeeded|Completed?|True|Normal|Healthy|Yes|Established)$/;
const BAD =
  /Err|BackOff|Failed|Evicted|OOMKilled|NotReady|Lost|Unknown|Invalid|Crash|Warning|Deadline|Never|Forbidden|Unschedulable/;
const WAITING =
  /^(Pending|Terminating|Released|Suspended|False|NotReady.*Disabled)$|Creating|Init|Progress|Unavailable|SchedulingDisabled/;

export function tone(text) {
  if (GOOD.test(text)) return "good";
  if (BAD.test(text)) return "bad";
  return WAITING.test(text) ? "wait" : "";
}

/** A state with its colour; the text says the same, for those who see no colours. */
export const badge = (text, kind = tone(text)) => h("span", { class: `badge ${kind}` }, text);

function named(key, name) {
  const found = t(key);
  return found === key ? name : found;
}

/** The person's word for a name of the API's tables, or the name itself. */
export const word = (name) => named(`word.${name}`, name);

/** What objects of a kind are called when there are several. */
export const kinds = (kind) => named(`kind.${kind}`, word(kind));

export function age(since) {
  const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(since)) / 1000));
  if (Number.isNaN(seconds)) return "";
  for (const [size, letter, most] of [
    [86400, "d", 2],
    [3600, "h", 3],
    [60, "m", 2],
  ]) {
    if (seconds >= size * most) return `${Math.floor(seconds / size)}${letter}`;
  }
  return `${seconds}s`;
}

export const moment = (since) =>
  since
    ? h("time", { datetime: since, title: new Date(since).toLocaleString(document.documentElement.lang) }, age(since))
    : "";

/** Ages on the page go on while nothing else changes. */
export function tick() {
  for (const node of document.querySelectorAll("time")) node.textContent = age(node.dateTime);
}

const SUFFIX = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** A Kubernetes quantity as a number. */
export function quantity(text) {
  const [, number, suffix] = /^([-+.\deE]*\d)([a-zA-Z]*)$/.exec(String(text ?? "")) || [];
  return number ? Number(number) * (SUFFIX[suffix] ?? 1) : 0;
}

export const cores = (value) => (value < 1 ? `${Math.round(value * 1000)}m` : value.toFixed(2));

export function bytes(value) {
  for (const [size, unit] of [
    [2 ** 40, "Ti"],
    [2 ** 30, "Gi"],
    [2 ** 20, "Mi"],
    [2 ** 10, "Ki"],
  ]) {
    if (value >= size) return `${(value / size).toFixed(value >= size * 100 ? 0 : 1)} ${unit}B`;
  }
  return `${Math.round(value)} B`;
}

export const pairs = (map) =>
  map && Object.keys(map).length
    ? h(
        "ul",
        { class: "pairs" },
        Object.entries(map).map(([name, value]) => h("li", {}, h("code", {}, value ? `${name}=${value}` : name))),
      )
    : "—";

export const facts = (list) =>
  h(
    "dl",
    { class: "facts" },
    list
      .filter((each) => each && each[1] !== undefined && each[1] !== "")
      .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );

export const card = (title, ...content) => h("section", { class: "card" }, title && h("h2", {}, title), content);

export const problem = (error) =>
  h("p", { class: "problem", role: "alert" }, error.message || String(error), hint(error));

function hint(error) {
  if (error.code === 403) return h("small", {}, t("hint.forbidden"));
  if (error.code === 404) return h("small", {}, t("hint.missing"));
  return error instanceof TypeError ? h("small", {}, t("hint.unreachable")) : "";
}

export const empty = (text) => h("p", { class: "empty" }, text);
