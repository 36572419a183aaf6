// A list of any kind as the server prints it, kept true by a watch. Rows keep their elements, and so the focus.

import { LIMIT, link, live } from "./api.js";
import { framed, h, show } from "./dom.js";
import { t } from "./settings.js";
import { badge, empty, kinds, moment, problem, tone, word } from "./words.js";

const STATES = new Set(["Status", "Ready", "Type", "Reason", "Succeeded", "Conditions"]);

/** `newest` puts what changed last first; `most` shows only so many. `filter()` is what every row has to contain. */
export function liveTable({
  resource,
  path,
  fields,
  labels,
  signal,
  filter,
  state,
  spaced,
  wide,
  newest,
  most,
  counted,
}) {
  const events = resource.plural === "events";
  const body = h("tbody");
  const head = h("thead");
  const notice = h("div", { class: "notice" });
  const caption = h("caption", { class: "unseen" }, kinds(resource.kind));
  const table = h("table", { class: "list", hidden: true }, caption, head, body);
  const known = new Map();
  let latest = null;
  let drawn = "";

  const draw = framed(() => {
    if (!latest) return;
    const { items, columns, more } = latest;
    const wanted = (filter?.() || "").toLowerCase();
    const shown = columns.map((column, at) => ({ ...column, at })).filter((c) => c.priority === 0 || wide?.());
    const heads = shown.map((c) => c.name).join() + spaced;
    if (heads !== drawn) {
      drawn = heads;
      known.clear();
      show(
        head,
        h(
          "tr",
          {},
          spaced && h("th", { scope: "col" }, word("Namespace")),
          shown.map((c) => h("th", { scope: "col", title: c.description || null }, word(c.name))),
        ),
      );
    }
    let rows = [...items.entries()].map(([uid, row]) => ({ uid, row, meta: row.object.metadata }));
    if (wanted)
      rows = rows.filter(({ row, meta }) =>
        `${meta.namespace || ""} ${row.cells.join(" ")}`.toLowerCase().includes(wanted),
      );
    const order = newest ? (a, b) => when(b.row.object).localeCompare(when(a.row.object)) : byName;
    rows.sort(order);
    const total = rows.length;
    if (most) rows = rows.slice(0, most);
    const elements = rows.map(({ uid, row, meta }) => {
      const before = known.get(uid);
      if (before?.row === row) return before.element;
      const element = before?.element || h("tr");
      fillRow(element, row, meta, shown);
      known.set(uid, { row, element });
      return element;
    });
    for (const uid of known.keys()) if (!items.has(uid)) known.delete(uid);
    arrange(body, elements);
    table.hidden = !rows.length;
    show(
      notice,
      !rows.length && empty(wanted ? t("list.nomatch") : t("list.empty")),
      more && h("p", { class: "hint" }, t("list.more", { limit: LIMIT })),
    );
    counted?.(total, latest);
  });

  function fillRow(element, row, meta, shown) {
    const old = element.querySelector("a");
    const focused = old && old === document.activeElement;
    const cells = shown.map((column) => {
      const value = row.cells[column.at];
      let content = value === null || value === undefined ? "" : String(value);
      if (column.format === "name" || column.name === "Name") {
        content = h("a", { href: target(meta), class: "name" }, content);
      } else if (column.name === "Age" && meta.creationTimestamp) content = moment(meta.creationTimestamp);
      else if (column.name === "Last Seen" && when(row.object)) content = moment(when(row.object));
      else if (events && column.name === "Object")
        content = h("a", { href: involved(row.object), class: "name" }, content);
      else if (/^https?:\/\//.test(content))
        content = h("a", { href: content, target: "_blank", rel: "noreferrer" }, content);
      else if (column.name === "Ready" && /^\d+\/\d+$/.test(content)) content = ready(content);
      else if (STATES.has(column.name) && tone(content)) content = badge(content);
      return h("td", { "data-label": word(column.name) }, content);
    });
    show(element, spaced && h("td", { "data-label": word("Namespace") }, meta.namespace || ""), cells);
    if (focused) element.querySelector("a")?.focus();
  }

  const target = (meta) =>
    resource.key === "apps.sampan.dev"
      ? `#/app/${meta.namespace}/${encodeURIComponent(meta.name)}`
      : link(resource.key, meta.namespace, meta.name);

  function involved(event) {
    const about = event.involvedObject || event.regarding || {};
    const group = (about.apiVersion || "").includes("/") ? about.apiVersion.split("/")[0] : "";
    return `#/find/${about.kind || "-"}/${group || "-"}/${about.namespace || "-"}/${encodeURIComponent(about.name || "-")}`;
  }

  live(path, {
    fields,
    labels,
    signal,
    objects: events,
    changed: (list) => ((latest = list), draw()),
    state: (name, error) => {
      state?.(name, error);
      if (name === "refused") ((table.hidden = true), show(notice, problem(error)));
    },
  });
  return { node: h("div", { class: "listing" }, notice, table), draw };
}

export function ready(text) {
  const [have, want] = text.split("/");
  return badge(text, have === want ? "good" : "wait");
}

const when = (object) =>
  object.series?.lastObservedTime ||
  object.lastTimestamp ||
  object.eventTime ||
  object.metadata?.creationTimestamp ||
  "";

const byName = (a, b) =>
  (a.meta.namespace || "").localeCompare(b.meta.namespace || "") ||
  a.meta.name.localeCompare(b.meta.name, undefined, { numeric: true });

/** Puts elements into this order, and touches only those that stand elsewhere: a moved element loses the focus. */
function arrange(parent, elements) {
  const wanted = new Set(elements);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const element of elements) {
    if (element === at) at = at.nextElementSibling;
    else parent.insertBefore(element, at);
  }
}
