// The way of a request through the parts of an application, and which service calls which, from the nodes' monitors.

import { path, query, read } from "./api.js";
import { h, s, show } from "./dom.js";
import { get, t } from "./settings.js";
import { card, empty, facts, moment, problem, badge } from "./words.js";

const LIMIT = 50;
const [W, ROW] = [190, 56];

/** What every node's monitor answers to a question; throws when none of them does. */
async function ask(world, signal, what) {
  const nodes = world.resources.get("nodes");
  const list = await read(path(nodes), { signal });
  const answers = await Promise.allSettled(
    list.items.map((node) => read(`${path(nodes, "", node.metadata.name)}/proxy/monitor/${what}`, { signal })),
  );
  const good = answers.filter((each) => each.status === "fulfilled").map((each) => each.value);
  if (!good.length && answers.length) throw answers[0].reason;
  return good;
}

const refused = (box) => (error) => {
  if (error.name !== "AbortError")
    show(box, error.code === 404 || error.code >= 500 ? empty(t("traces.unserved")) : problem(error));
};

export function took(nanoseconds) {
  if (nanoseconds >= 1e9) return `${(nanoseconds / 1e9).toFixed(2)} s`;
  return nanoseconds >= 1e6 ? `${(nanoseconds / 1e6).toFixed(1)} ms` : `${Math.round(nanoseconds / 1e3)} µs`;
}

const when = (nanoseconds) => new Date(nanoseconds / 1e6).toISOString();

export function tracesView({ world, params: [namespace, app], signal, state, title }) {
  title(
    app ? `${t("nav.traces")}: ${app}` : t("nav.traces"),
    "traces",
    app ? [[`#/app/${namespace}/${app}`, app]] : [],
  );
  const box = h("div");
  const map = h("div");
  const again = h("button", { type: "button", onclick: () => load() }, t("traces.reload"));
  const load = () =>
    ask(
      world,
      signal,
      `traces${query({ limit: String(LIMIT), namespace: namespace || get("namespace"), service: app })}`,
    )
      .then((answers) => {
        const found = answers
          .flatMap((each) => each.traces || [])
          .sort((a, b) => b.start - a.start)
          .slice(0, LIMIT);
        show(box, found.length ? table(found) : empty(t("traces.none")));
        state("read");
        return ask(world, signal, "map").then((edges) =>
          show(map, serviceMap(edges.flatMap((each) => each.edges || []))),
        );
      })
      .catch(refused(box));
  load();
  return [h("div", { class: "tools" }, again), !app && map, box];
}

function table(found) {
  const heads = [t("traces.title"), t("traces.services"), t("traces.spanlist"), t("traces.took"), t("traces.when")];
  return h(
    "div",
    { class: "listing" },
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
        found.map((each) => {
          const cells = [
            [
              h("a", { href: `#/trace/${each.trace}`, class: "name" }, each.name || each.trace),
              each.errors ? [" ", badge(t("traces.errors", { count: each.errors }), "bad")] : "",
            ],
            each.services.join(" → "),
            each.spans,
            took(each.duration),
            moment(when(each.start)),
          ];
          return h(
            "tr",
            {},
            cells.map((cell, at) => h("td", { "data-label": heads[at] }, cell)),
          );
        }),
      ),
    ),
  );
}

export function traceView({ world, params: [id], signal, state, title }) {
  title(`${t("traces.title")} ${id.slice(0, 8)}`, "traces", [["#/traces", t("nav.traces")]]);
  const box = h("div");
  ask(world, signal, `traces/${encodeURIComponent(id)}`)
    .then((answers) => {
      const spans = answers.flatMap((each) => each.spans || []);
      state("read");
      show(box, spans.length ? waterfall(spans) : empty(t("object.gone")));
    })
    .catch(refused(box));
  return box;
}

/** A lane a span, in the order of the call chain; opening one shows what is known of it. */
export function waterfall(spans) {
  const first = Math.min(...spans.map((each) => each.start));
  const whole = Math.max(1, ...spans.map((each) => each.start + (each.duration || 0) - first));
  const depths = new Map();
  const services = [...new Set(spans.map((each) => each.service))];
  return card(
    `${t("traces.spans", { count: spans.length })} · ${took(whole)}`,
    h(
      "div",
      { class: "spans" },
      spans.map((each) => {
        const depth = depths.has(each.parent) ? depths.get(each.parent) + 1 : 0;
        depths.set(each.span, depth);
        const bar = h("span", { class: each.error ? "bad" : `s${services.indexOf(each.service) % 5}` });
        bar.style.left = `${((each.start - first) / whole) * 100}%`;
        bar.style.width = `${((each.duration || 0) / whole) * 100}%`;
        const attributes = each.attributes || {};
        const what = attributes["db.query.text"] || attributes["db.statement"] || each.name || each.kind;
        const name = h("span", { title: what }, h("strong", {}, each.service || "?"), ` ${what}`);
        name.style.paddingLeft = `${Math.min(depth, 12) * 0.8}rem`;
        return h(
          "details",
          {},
          h(
            "summary",
            { class: "lane" },
            name,
            h("span", { class: "track" }, bar),
            h("span", {}, took(each.duration || 0)),
          ),
          facts(
            [
              [t("object.message"), each.message],
              ["Pod", each.pod && h("a", { href: `#/object/pods/${each.namespace}/${each.pod}` }, each.pod)],
              ...Object.entries(attributes),
              ...(each.events || []).map((event, at) => [at ? "" : t("nav.events"), event]),
            ].map(([key, value]) => [key || " ", value]),
          ),
        );
      }),
    ),
  );
}

/** Services in columns by how far from outside they are called, an arrow for each call. */
function serviceMap(edges) {
  if (!edges.length) return "";
  const level = new Map([["", 0]]);
  for (let round = 0; round < 8; round += 1) {
    for (const { caller, callee } of edges) {
      if (!level.has(caller)) level.set(caller, 0);
      if (caller !== callee && (level.get(callee) ?? -1) <= level.get(caller) && level.get(caller) < 7)
        level.set(callee, level.get(caller) + 1);
    }
  }
  const columns = [];
  for (const [name, at] of level) (columns[at] ||= []).push(name);
  const place = new Map();
  columns.forEach((names, x) => names.forEach((name, y) => place.set(name, [x * W + 10, y * ROW + 10])));
  const height = Math.max(...columns.map((names) => names?.length || 0)) * ROW - 8;
  const arrows = edges
    .filter((each) => each.caller !== each.callee)
    .map((each) => {
      const [[x, y], [u, v]] = [place.get(each.caller), place.get(each.callee)];
      const middle = (x + 130 + u) / 2;
      return s(
        "g",
        { class: each.errors ? "edge bad" : "edge" },
        s("path", { d: `M${x + 130} ${y + 18}C${middle} ${y + 18} ${middle} ${v + 18} ${u - 3} ${v + 18}` }),
        s("path", { d: `M${u - 9} ${v + 13}L${u - 3} ${v + 18}L${u - 9} ${v + 23}` }),
        s("text", { x: middle, y: (y + v) / 2 + 12, "text-anchor": "middle" }, `${each.calls}×`),
        s(
          "title",
          {},
          t("traces.edge", {
            calls: each.calls,
            errors: each.errors,
            median: took(each.median),
            slow: took(each.slow),
          }),
        ),
      );
    });
  const boxes = [...place].map(([name, [x, y]]) =>
    s(
      "g",
      { class: "service" },
      s("rect", { x, y, width: 130, height: 36, rx: 8 }),
      s(
        "text",
        { x: x + 65, y: y + 23, "text-anchor": "middle" },
        (name || t("traces.outside")).slice(0, 18),
        s("title", {}, name),
      ),
    ),
  );
  return card(
    t("traces.map"),
    s(
      "svg",
      {
        class: "map",
        width: columns.length * W,
        height,
        role: "img",
        "aria-label": edges
          .map((each) => `${each.caller || t("traces.outside")} → ${each.callee}: ${each.calls}`)
          .join(", "),
      },
      arrows,
      boxes,
    ),
  );
}
