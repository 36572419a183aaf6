// Lists: of one kind with the kinds near it as tabs, and of all kinds that the server serves.

import { path } from "./api.js";
import { h } from "./dom.js";
import { get, t } from "./settings.js";
import { liveTable } from "./table.js";
import { empty, kinds } from "./words.js";

export const SECTIONS = {
  workloads: [
    "pods",
    "deployments.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "jobs.batch",
    "cronjobs.batch",
    "replicasets.apps",
    "horizontalpodautoscalers.autoscaling",
  ],
  network: [
    "services",
    "ingresses.networking.k8s.io",
    "endpointslices.discovery.k8s.io",
    "networkpolicies.networking.k8s.io",
    "ingressclasses.networking.k8s.io",
  ],
  config: ["configmaps", "secrets", "serviceaccounts", "resourcequotas", "limitranges", "namespaces"],
  storage: ["persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"],
};

export const sectionOf = (key) => Object.keys(SECTIONS).find((name) => SECTIONS[name].includes(key)) || "";

/** The field that "/" leads to; what it holds is in the address of nothing and goes with the page. */
export function filterField(act) {
  return h("input", {
    type: "search",
    class: "filter",
    placeholder: t("list.filter"),
    "aria-label": t("list.filter"),
    "aria-keyshortcuts": "/",
    oninput: act,
  });
}

export function listView({ world, params, signal, state, title }) {
  const [key] = params;
  const resource = world.resources.get(key);
  if (!resource) return empty(t("list.unknown", { key }));
  const section = sectionOf(key);
  title(kinds(resource.kind), section);
  const field = filterField(() => listing.draw());
  const wide = h("input", { type: "checkbox", onchange: () => listing.draw() });
  const count = h("span", { class: "count" });
  const namespace = resource.namespaced ? get("namespace") : "";
  const listing = liveTable({
    resource,
    path: path(resource, namespace),
    signal,
    state,
    filter: () => field.value,
    wide: () => wide.checked,
    spaced: resource.namespaced && !namespace,
    newest: resource.plural === "events",
    counted: (total) => (count.textContent = String(total)),
  });
  const near = (SECTIONS[section] || []).filter((each) => world.resources.has(each));
  return [
    near.length > 1 &&
      h(
        "nav",
        { class: "tabs", "aria-label": t(`nav.${section}`) },
        near.map((each) =>
          h(
            "a",
            { href: `#/list/${each}`, "aria-current": each === key ? "page" : null },
            kinds(world.resources.get(each).kind),
          ),
        ),
      ),
    h("div", { class: "tools" }, field, h("label", {}, wide, t("list.wide")), count),
    listing.node,
  ];
}

export function allView({ world, title }) {
  title(t("nav.all"), "all");
  const listable = [...world.resources.values()].filter(
    (each) => each.verbs.includes("list") && !each.group.startsWith("metrics."),
  );
  const groups = Map.groupBy
    ? Map.groupBy(listable, (each) => each.group)
    : listable.reduce((map, each) => map.set(each.group, [...(map.get(each.group) || []), each]), new Map());
  const box = h("div", { class: "groups" });
  const draw = () => {
    const wanted = field.value.toLowerCase();
    const found = [...groups].map(([group, list]) => [
      group,
      list.filter((each) => `${each.key} ${each.kind} ${kinds(each.kind)}`.toLowerCase().includes(wanted)),
    ]);
    box.replaceChildren(
      ...found
        .filter(([, list]) => list.length)
        .map(([group, list]) =>
          h(
            "section",
            { class: "card" },
            h("h2", {}, group || "core"),
            h(
              "ul",
              { class: "kinds" },
              list.map((each) =>
                h(
                  "li",
                  {},
                  h(
                    "a",
                    { href: `#/list/${each.key}` },
                    each.kind,
                    h("small", {}, each.namespaced ? "" : t("list.cluster")),
                  ),
                ),
              ),
            ),
          ),
        ),
    );
  };
  const field = filterField(draw);
  draw();
  return [h("div", { class: "tools" }, field), box];
}
