// The first page: is the cluster well, what runs, what went wrong lately.

import { live, path } from "./api.js";
import { usage } from "./charts.js";
import { framed, h, show } from "./dom.js";
import { get, t } from "./settings.js";
import { liveTable } from "./table.js";
import { badge, card, empty, kinds, problem, quantity, tone } from "./words.js";
import { appCard } from "./apps.js";

const WARNINGS = 8;

export function overviewView({ world, signal, state, title }) {
  title(t("nav.overview"), "overview");
  const namespace = get("namespace");
  const at = (key) => world.resources.get(key);
  let most = {};

  const nodes = h("div", { class: "rows-of" });
  live(path(at("nodes")), {
    whole: true,
    signal,
    state: (name, error) => (state(name, error), name === "refused" && show(nodes, problem(error))),
    changed: framedWith(({ items }) => {
      most = total([...items.values()].map((node) => node.status?.capacity || {}));
      show(nodes, [...items.values()].map(nodeLine));
    }),
  });

  const pods = h("div");
  live(path(at("pods"), namespace), {
    signal,
    state: (name, error) => name === "refused" && show(pods, problem(error)),
    changed: framedWith(({ items, columns }) => {
      const column = columns.findIndex((each) => each.name === "Status");
      const counts = new Map();
      for (const row of items.values()) counts.set(row.cells[column], (counts.get(row.cells[column]) || 0) + 1);
      show(pods, items.size ? bars(counts, items.size) : empty(t("overview.nopods")));
    }),
  });

  const warnings = liveTable({
    resource: at("events"),
    path: path(at("events"), namespace),
    fields: "type=Warning",
    signal,
    spaced: !namespace,
    newest: true,
    most: WARNINGS,
  });

  const parts = [
    card(h("a", { href: "#/list/nodes" }, t("nav.nodes")), nodes),
    card(h("a", { href: "#/list/pods" }, kinds("Pod")), pods),
  ];
  const metrics = at("nodes.metrics.k8s.io");
  if (metrics) parts.push(card(t("metrics.title"), usage({ resource: metrics, signal, most: () => most })));
  const grid = h("div", { class: "grid" }, parts);
  const apps = at("apps.sampan.dev");
  const shown = h("div", { class: "apps" });
  if (apps) {
    live(path(apps, namespace), {
      whole: true,
      signal,
      state: (name, error) => name === "refused" && show(shown, problem(error)),
      changed: framedWith(({ items }) =>
        show(shown, items.size ? [...items.values()].map(appCard) : empty(t("apps.none"))),
      ),
    });
  }
  return [
    grid,
    apps && card(h("a", { href: "#/apps" }, t("nav.apps")), shown),
    card(h("a", { href: "#/list/events" }, t("overview.warnings")), warnings.node),
  ];
}

/** `draw` with the last thing that it was called with, once a frame. */
export function framedWith(draw) {
  let last;
  const soon = framed(() => draw(last));
  return (value) => ((last = value), soon());
}

const total = (list) =>
  list.reduce((all, one) => ({ cpu: all.cpu + quantity(one.cpu), memory: all.memory + quantity(one.memory) }), {
    cpu: 0,
    memory: 0,
  });

function nodeLine(node) {
  const ready = node.status?.conditions?.find((each) => each.type === "Ready");
  const text = ready?.status === "True" ? "Ready" : "NotReady";
  return h(
    "div",
    { class: "line" },
    h("a", { href: `#/object/nodes/-/${node.metadata.name}`, class: "name" }, node.metadata.name),
    badge(text),
    node.spec?.unschedulable && badge("SchedulingDisabled", "wait"),
    h("small", {}, `${node.status?.nodeInfo?.kubeletVersion || ""} · ${node.status?.nodeInfo?.osImage || ""}`),
  );
}

function bars(counts, all) {
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  const bar = h(
    "div",
    { class: "stack", "aria-hidden": "true" },
    sorted.map(([name, count]) => {
      const part = h("span", { class: tone(name) || "other" });
      part.style.flexGrow = count;
      return part;
    }),
  );
  return [
    h("p", { class: "big" }, all, h("small", {}, t("overview.pods"))),
    bar,
    h(
      "ul",
      { class: "legend" },
      sorted.map(([name, count]) => h("li", {}, badge(name), ` ${count}`)),
    ),
  ];
}
