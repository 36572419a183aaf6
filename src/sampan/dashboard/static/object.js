// One object of any kind: a summary that stays true, its YAML, its events; a pod's logs and a shell in it.

import { link, live, path } from "./api.js";
import { usage } from "./charts.js";
import { h, show } from "./dom.js";
import { sectionOf } from "./list.js";
import { logsTab } from "./logs.js";
import { framedWith } from "./overview.js";
import { t } from "./settings.js";
import { liveTable } from "./table.js";
import { shell } from "./terminal.js";
import { badge, card, empty, facts, kinds, moment, pairs, problem, quantity, word } from "./words.js";
import { toYaml } from "./yaml.js";

const LONG = "kubectl.kubernetes.io/last-applied-configuration";

export function objectView({ world, params, signal, state, title, leave }) {
  const [key, spaceText, name, tab = "summary"] = params;
  const namespace = spaceText === "-" ? "" : spaceText;
  const resource = world.resources.get(key);
  if (!resource) return empty(t("list.unknown", { key }));
  title(name, sectionOf(key) || { nodes: "nodes", events: "events" }[key] || "all", [
    [`#/list/${key}`, kinds(resource.kind)],
  ]);
  const tabs = ["summary", ...(key === "pods" ? ["logs", "shell"] : []), "events", "yaml"];
  const bar = h(
    "nav",
    { class: "tabs", "aria-label": t("object.parts") },
    tabs.map((each) =>
      h(
        "a",
        {
          href: link(key, namespace, name, each === "summary" ? "" : each),
          "aria-current": each === tab ? "page" : null,
          "data-tab": each,
        },
        t(`tab.${each}`),
      ),
    ),
  );
  const here = { world, resource, namespace, name, signal, state, leave };
  const parts = { summary: summaryTab, logs: logsTab, shell: shellTab, events: eventsTab, yaml: yamlTab };
  return [bar, (parts[tab] || summaryTab)(here)];
}

/** Calls `draw` with the object now and after each change. */
export function one({ resource, namespace, name, signal, state }, draw, box) {
  live(path(resource, namespace), {
    whole: true,
    fields: `metadata.name=${name}`,
    signal,
    state: (status, error) => (state(status, error), status === "refused" && show(box, problem(error))),
    changed: framedWith(({ items }) => {
      const [object] = items.values();
      if (object) draw(object);
      else show(box, empty(t("object.gone")));
    }),
  });
}

function eventsTab({ world, resource, namespace, name, signal }) {
  const events = world.resources.get("events");
  const fields = `involvedObject.name=${name},involvedObject.kind=${resource.kind}`;
  return liveTable({ resource: events, path: path(events, namespace), fields, signal, newest: true }).node;
}

function yamlTab(here) {
  const box = h("pre", { class: "yaml", tabindex: "0", "aria-label": "YAML" });
  const managed = h("input", { type: "checkbox", onchange: () => draw() });
  const secret = here.resource.key === "secrets";
  const open = h("input", { type: "checkbox", onchange: () => draw() });
  let object = null;
  const draw = () => {
    if (!object) return;
    const { managedFields, ...metadata } = object.metadata;
    const { kind, apiVersion, ...rest } = object;
    const { group, version } = here.resource;
    const first = {
      apiVersion: apiVersion || (group ? `${group}/${version}` : version),
      kind: kind || here.resource.kind,
    };
    const masked = secret && !open.checked;
    const shown = managed.checked ? { ...object.metadata } : metadata;
    // What was applied holds a secret's values once more.
    if (masked && shown.annotations) shown.annotations = without(shown.annotations, LONG);
    show(box, toYaml({ ...first, ...rest, metadata: shown }, masked ? t("yaml.hidden") : ""));
  };
  one(here, (found) => ((object = found), draw()), box);
  const copied = h("span", { role: "status" });
  const copy = () =>
    navigator.clipboard.writeText(box.textContent).then(
      () => (copied.textContent = t("yaml.copied")),
      (error) => (copied.textContent = error.message),
    );
  return [
    h(
      "div",
      { class: "tools" },
      h("label", {}, managed, t("yaml.managed")),
      secret && h("label", {}, open, t("yaml.reveal")),
      h("button", { type: "button", onclick: copy }, t("yaml.copy")),
      copied,
    ),
    box,
  ];
}

const without = (map, key) => Object.fromEntries(Object.entries(map).filter(([name]) => name !== key));

// --- summary

function summaryTab(here) {
  const { world, resource, namespace, name, signal } = here;
  const box = h("div", { class: "summary" }, h("p", { class: "hint" }, t("state.loading")));
  const below = h("div");
  let seen = null;
  let selected = "";
  one(
    here,
    (object) => {
      seen = object;
      const own = { pods: podParts, nodes: nodeParts, services: serviceParts }[resource.key];
      show(
        box,
        general(object),
        own?.(object, here),
        conditions(object),
        resource.kind === "ConfigMap" && values(object),
      );
      const select = podSelector(object, resource);
      const text = JSON.stringify(select);
      if (select && text !== selected) {
        selected = text;
        const pods = world.resources.get("pods");
        show(
          below,
          card(
            kinds("Pod"),
            liveTable({
              resource: pods,
              path: path(pods, select.namespace),
              ...select,
              spaced: !select.namespace,
              signal,
            }).node,
          ),
        );
      }
    },
    box,
  );
  const metrics = world.resources.get(`${resource.key}.metrics.k8s.io`);
  const most = () => limits(seen, resource);
  return [
    box,
    below,
    metrics && card(t("metrics.title"), usage({ resource: metrics, namespace, name, signal, most })),
    resource.key === "pods" && card(t("tab.events"), eventsTab(here)),
  ];
}

function general(object) {
  const { metadata, spec = {}, status = {} } = object;
  const notes = without(metadata.annotations || {}, LONG);
  const owners = (metadata.ownerReferences || []).map((owner) => {
    const group = owner.apiVersion.includes("/") ? owner.apiVersion.split("/")[0] : "";
    return [
      h(
        "a",
        { href: `#/find/${owner.kind}/${group || "-"}/${metadata.namespace || "-"}/${encodeURIComponent(owner.name)}` },
        `${word(owner.kind)} ${owner.name}`,
      ),
      " ",
    ];
  });
  const node = spec.nodeName && h("a", { href: `#/object/nodes/-/${spec.nodeName}` }, spec.nodeName);
  const wanted =
    spec.replicas !== undefined
      ? badge(
          `${status.readyReplicas || 0}/${spec.replicas}`,
          (status.readyReplicas || 0) === spec.replicas ? "good" : "wait",
        )
      : undefined;
  return card(
    "",
    facts([
      [word("Namespace"), metadata.namespace],
      [word("Status"), metadata.deletionTimestamp ? badge("Terminating") : status.phase && badge(status.phase)],
      [word("Ready"), wanted],
      [word("Age"), moment(metadata.creationTimestamp)],
      [word("Node"), node || undefined],
      ["IP", (status.podIPs || []).map((each) => each.ip).join(", ")],
      [t("object.owner"), owners.length ? owners : undefined],
      [t("object.message"), status.message && `${status.reason || ""} ${status.message}`],
      [t("object.labels"), pairs(metadata.labels)],
      [t("object.annotations"), Object.keys(notes).length ? pairs(notes) : ""],
    ]),
  );
}

function conditions(object) {
  const list = object.status?.conditions;
  if (!Array.isArray(list) || !list.length) return "";
  const heads = [t("object.condition"), word("Status"), word("Reason"), t("object.message"), word("Age")];
  return card(
    t("object.conditions"),
    grid(
      heads,
      list.map((each) => [
        word(each.type),
        mark(each),
        each.reason || "",
        each.message || "",
        moment(each.lastTransitionTime),
      ]),
    ),
  );
}

/** Whether a condition is good news: those that tell of trouble are well when they are false. */
function mark({ type, status }) {
  const trouble = /Pressure|Unavailable|Failure|Failed|Disruption|Suspended/.test(type);
  const good = (status === "True") !== trouble;
  return badge(t(`status.${status}`), status === "Unknown" ? "wait" : good ? "good" : trouble ? "bad" : "wait");
}

const grid = (heads, rows) =>
  h(
    "table",
    { class: "list" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        heads.map((each) => h("th", { scope: "col" }, each)),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((row) =>
        h(
          "tr",
          {},
          row.map((cell, at) => h("td", { "data-label": heads[at] }, cell)),
        ),
      ),
    ),
  );

const values = (object) =>
  Object.keys(object.data || {}).length
    ? card(
        t("object.data"),
        Object.entries(object.data).map(([name, text]) => [
          h("h3", {}, name),
          h("pre", { tabindex: "0", "aria-label": name }, text),
        ]),
      )
    : "";

function podSelector(object, { key }) {
  if (key === "nodes") return { namespace: "", fields: `spec.nodeName=${object.metadata.name}` };
  const selector = key === "services" ? { matchLabels: object.spec?.selector } : object.spec?.selector;
  if (!selector?.matchLabels && !selector?.matchExpressions) return null;
  if (!/^(services|.*\.(apps|batch))$/.test(key)) return null;
  const terms = Object.entries(selector.matchLabels || {}).map(([name, value]) => `${name}=${value}`);
  for (const { key: name, operator, values: list = [] } of selector.matchExpressions || []) {
    terms.push(
      { In: `${name} in (${list})`, NotIn: `${name} notin (${list})`, Exists: name, DoesNotExist: `!${name}` }[
        operator
      ],
    );
  }
  return terms.length ? { namespace: object.metadata.namespace, labels: terms.join(",") } : null;
}

function limits(object, { key }) {
  if (key === "nodes")
    return { cpu: quantity(object?.status?.capacity?.cpu), memory: quantity(object?.status?.capacity?.memory) };
  const all = (object?.spec?.containers || []).map((each) => each.resources?.limits || {});
  const add = (name) =>
    all.length && all.every((each) => each[name]) ? all.reduce((sum, each) => sum + quantity(each[name]), 0) : 0;
  return { cpu: add("cpu"), memory: add("memory") };
}

// --- pods

function told(status) {
  const [[name, detail] = []] = Object.entries(status?.state || {});
  if (name === "running") return [badge("Running"), " ", moment(detail.startedAt)];
  const text = detail?.reason || name || "—";
  return [
    badge(text, text === "Completed" ? "good" : name === "terminated" ? "bad" : "wait"),
    detail?.exitCode !== undefined ? ` ${t("pod.exit", { code: detail.exitCode })}` : "",
    detail?.message ? h("p", { class: "why" }, detail.message) : "",
  ];
}

function podParts(pod, { namespace, name }) {
  const { spec, status = {} } = pod;
  const lists = [
    [spec.initContainers, status.initContainerStatuses],
    [spec.containers, status.containerStatuses],
    [spec.ephemeralContainers, status.ephemeralContainerStatuses],
  ];
  const heads = [
    t("pod.container"),
    word("Image"),
    word("Status"),
    word("Ready"),
    word("Restarts"),
    t("pod.last"),
    t("pod.ports"),
    "",
  ];
  const rows = lists.flatMap(([containers, statuses], which) =>
    (containers || []).map((container) => {
      const found = (statuses || []).find((each) => each.name === container.name);
      const last = found?.lastState?.terminated;
      return [
        [container.name, which !== 1 && h("small", {}, ` ${t(which ? "pod.ephemeral" : "pod.init")}`)],
        h("code", {}, container.image),
        told(found),
        badge(t(`status.${found?.ready ? "True" : "False"}`), found?.ready ? "good" : "wait"),
        found?.restartCount || 0,
        last
          ? [
              badge(last.reason || "Error", "bad"),
              ` ${t("pod.exit", { code: last.exitCode })} `,
              moment(last.finishedAt),
            ]
          : "—",
        (container.ports || []).map((each) => `${each.containerPort}/${each.protocol || "TCP"}`).join(", ") || "—",
        h("a", { href: `${link("pods", namespace, name, "logs")}/${container.name}` }, t("tab.logs")),
      ];
    }),
  );
  return card(t("pod.containers"), grid(heads, rows));
}

function shellTab({ world, resource, namespace, name, signal, state, leave }) {
  const place = h("div", { class: "shell" });
  const line = h("p", { class: "hint", role: "status" });
  const pick = h("select", { "aria-label": t("pod.container"), onchange: () => open() });
  let current = null;
  const open = () => {
    current?.close();
    current = shell(resource, namespace, name, pick.value, (text, how) => {
      line.textContent = text;
      state(how === "live" ? "live" : how === "end" ? "ended" : "again");
    });
    show(place, current.node);
  };
  leave(() => current?.close());
  const again = h("button", { type: "button", onclick: () => open() }, t("shell.again"));
  one(
    { resource, namespace, name, signal, state: () => {}, world },
    (pod) => {
      if (current || pick.options.length) return;
      show(
        pick,
        pod.spec.containers.map((each) => h("option", { value: each.name }, each.name)),
      );
      open();
    },
    place,
  );
  return [
    h(
      "div",
      { class: "tools" },
      h("label", {}, t("pod.container"), " ", pick),
      again,
      line,
      h("small", {}, t("shell.leave")),
    ),
    place,
  ];
}

// --- nodes and services

function nodeParts({ status = {}, spec = {} }) {
  const info = status.nodeInfo || {};
  const names = Object.keys(status.capacity || {});
  return [
    card(
      "",
      facts([
        [t("node.addresses"), (status.addresses || []).map((each) => `${each.type} ${each.address}`).join(", ")],
        [t("node.system"), [info.osImage, info.kernelVersion, info.architecture].filter(Boolean).join(" · ")],
        [t("node.runtime"), [info.containerRuntimeVersion, info.kubeletVersion].filter(Boolean).join(" · ")],
        [t("node.taints"), (spec.taints || []).map((each) => `${each.key}:${each.effect}`).join(", ")],
      ]),
    ),
    card(
      t("node.capacity"),
      grid(
        [t("node.resource"), t("node.capacity"), t("node.allocatable")],
        names.map((each) => [each, status.capacity[each], status.allocatable?.[each] || ""]),
      ),
    ),
  ];
}

function serviceParts({ spec = {}, status = {} }) {
  const outside = (status.loadBalancer?.ingress || []).map((each) => each.ip || each.hostname).join(", ");
  return card(
    "",
    facts([
      [word("Type"), spec.type],
      ["ClusterIP", (spec.clusterIPs || []).join(", ")],
      [t("service.outside"), outside],
      [t("service.selector"), pairs(spec.selector)],
      [
        t("pod.ports"),
        h(
          "ul",
          { class: "pairs" },
          (spec.ports || []).map((each) =>
            h(
              "li",
              {},
              h(
                "code",
                {},
                `${each.name || ""} ${each.port} → ${each.targetPort ?? each.port}/${each.protocol}${each.nodePort ? ` (${each.nodePort})` : ""}`.trim(),
              ),
            ),
          ),
        ),
      ],
    ]),
  );
}
