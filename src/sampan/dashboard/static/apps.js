// Applications: what `sampan deploy` made, with the six steps on the way to a published, watched URL.

import { LIMIT, live, path } from "./api.js";
import { h, show } from "./dom.js";
import { filterField } from "./list.js";
import { get, t } from "./settings.js";
import { liveTable, ready } from "./table.js";
import { badge, card, empty, facts, kinds, moment, problem, word } from "./words.js";
import { framedWith } from "./overview.js";
import { runsCard } from "./runs.js";

export const STEPS = ["ImageBuilt", "PodsReady", "VolumesBound", "Exposed", "Published", "Monitored"];
const MARKS = { True: "✓", False: "✕", Unknown: "…" };
const KIND = { True: "good", False: "bad", Unknown: "wait" };

const steps = (app) =>
  STEPS.map((type) => ({
    status: "Unknown",
    ...(app.status?.conditions || []).find((each) => each.type === type),
    type,
  }));

const page = (app) => `#/app/${app.metadata.namespace}/${encodeURIComponent(app.metadata.name)}`;

const address = (app) =>
  app.status?.url &&
  (/^https?:\/\//.test(app.status.url)
    ? h("a", { href: app.status.url, target: "_blank", rel: "noreferrer" }, app.status.url)
    : h("code", {}, app.status.url));

const image = (app) => app.status?.image || app.spec?.source?.image || "";

export function appCard(app) {
  const all = steps(app);
  const done = all.filter((each) => each.status === "True").length;
  const wrong = all.find((each) => each.status === "False" && each.message);
  return h(
    "article",
    { class: "app" },
    h(
      "header",
      {},
      h("a", { href: page(app), class: "name" }, app.metadata.name),
      h("small", {}, app.metadata.namespace),
      app.status?.ready && ready(app.status.ready),
    ),
    h(
      "ol",
      { class: "dots", "aria-label": t("apps.progress", { done, all: STEPS.length }) },
      all.map((each) =>
        h(
          "li",
          { class: KIND[each.status], title: `${t(`step.${each.type}`)}: ${each.message || each.status}` },
          h("span", { "aria-hidden": "true" }, MARKS[each.status]),
        ),
      ),
    ),
    address(app) || h("small", {}, word(app.spec?.type || "stateless")),
    wrong && h("p", { class: "why" }, `${t(`step.${wrong.type}`)}: ${wrong.message}`),
  );
}

export function appsView({ world, signal, state, title }) {
  title(t("nav.apps"), "apps");
  const resource = world.resources.get("apps.sampan.dev");
  if (!resource) return empty(t("apps.unserved"));
  const box = h("div", { class: "apps" });
  let latest = { items: new Map(), more: false };
  let heard = false;
  const draw = framedWith(() => {
    if (!heard) return;
    const found = [...latest.items.values()]
      .filter((app) =>
        `${app.metadata.namespace} ${app.metadata.name} ${image(app)}`
          .toLowerCase()
          .includes(field.value.toLowerCase()),
      )
      .sort((a, b) => a.metadata.name.localeCompare(b.metadata.name));
    show(
      box,
      found.length ? found.map(appCard) : empty(latest.items.size ? t("list.nomatch") : t("apps.none")),
      latest.more && h("p", { class: "hint" }, t("list.more", { limit: LIMIT })),
    );
  });
  const field = filterField(draw);
  live(path(resource, get("namespace")), {
    whole: true,
    signal,
    state: (name, error) => (state(name, error), name === "refused" && show(box, problem(error))),
    changed: (list) => ((latest = list), (heard = true), draw()),
  });
  return [h("div", { class: "tools" }, field), box];
}

export function appView({ world, params: [namespace, name], signal, state, title }) {
  title(name, "apps", [["#/apps", t("nav.apps")]]);
  const resource = world.resources.get("apps.sampan.dev");
  if (!resource) return empty(t("apps.unserved"));
  const top = h("div");
  let current = null;
  let history = [];
  const releases = h("div");
  const labels = `sampan.dev/app=${name}`;

  const drawReleases = framedWith(() => show(releases, releaseTable(history, current, name)));
  live(path(resource, namespace), {
    whole: true,
    fields: `metadata.name=${name}`,
    signal,
    state: (status, error) => (state(status, error), status === "refused" && show(top, problem(error))),
    changed: framedWith(({ items }) => {
      [current] = items.values();
      show(top, current ? summary(current) : empty(t("object.gone")));
      drawReleases();
    }),
  });
  live(path(world.resources.get("controllerrevisions.apps"), namespace), {
    whole: true,
    labels,
    signal,
    state: (status, error) => status === "refused" && show(releases, problem(error)),
    changed: ({ items }) => {
      history = [...items.values()]
        .filter((each) => each.metadata.labels?.["sampan.dev/release"])
        .sort((a, b) => b.revision - a.revision);
      drawReleases();
    },
  });
  const pods = world.resources.get("pods");
  const table = liveTable({ resource: pods, path: path(pods, namespace), labels, signal });
  return [
    top,
    runsCard({ world, namespace, app: name, signal }),
    card(kinds("Pod"), table.node),
    card(t("apps.releases"), releases),
    h(
      "p",
      {},
      h("a", { href: `#/object/apps.sampan.dev/${namespace}/${encodeURIComponent(name)}/yaml` }, "YAML"),
      " · ",
      h("a", { href: `#/traces/${namespace}/${encodeURIComponent(name)}` }, t("nav.traces")),
    ),
  ];
}

function summary(app) {
  const { spec = {}, status = {} } = app;
  const source = spec.source || {};
  return [
    card(
      "",
      facts([
        ["URL", address(app)],
        [word("Type"), word(spec.type || "stateless")],
        [word("Ready"), status.ready],
        [t("apps.release"), status.release],
        [word("Image"), h("code", {}, image(app))],
        [
          t("apps.source"),
          source.git
            ? h("code", {}, `${source.git.url} ${source.git.ref || ""}`)
            : source.path && h("code", {}, source.path),
        ],
        [
          t("apps.needs"),
          (spec.needs || []).length
            ? spec.needs.map((need) =>
                h("a", { href: `#/app/${app.metadata.namespace}/${need.app}` }, `${need.name} → ${need.app} `),
              )
            : undefined,
        ],
        [word("Age"), moment(app.metadata.creationTimestamp)],
      ]),
    ),
    card(
      t("apps.steps"),
      h(
        "ol",
        { class: "steps" },
        steps(app).map((each) =>
          h(
            "li",
            { class: KIND[each.status] },
            h("span", { class: "mark", "aria-hidden": "true" }, MARKS[each.status]),
            h(
              "div",
              {},
              h("strong", {}, t(`step.${each.type}`)),
              " ",
              h("small", {}, t(`status.${each.status}`), " ", each.status === "True" ? "" : each.reason || ""),
              h("p", {}, each.message || ""),
            ),
          ),
        ),
      ),
    ),
  ];
}

function releaseTable(history, app, name) {
  if (!history.length) return empty(t("apps.noreleases"));
  const heads = [t("apps.release"), word("Image"), t("apps.cause"), t("apps.worked"), word("Age")];
  return [
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
        history.map((each) => {
          const notes = each.metadata.annotations || {};
          const cells = [
            [each.revision, " ", app?.status?.release === each.revision && badge(t("apps.current"), "good")],
            h("code", { title: notes["sampan.dev/image"] }, each.data?.spec?.source?.image || ""),
            notes["kubernetes.io/change-cause"] || "",
            notes["sampan.dev/succeeded"] ? badge(t("status.True"), "good") : badge(t("status.False"), "wait"),
            moment(each.metadata.creationTimestamp),
          ];
          return h(
            "tr",
            {},
            cells.map((cell, at) => h("td", { "data-label": heads[at] }, cell)),
          );
        }),
      ),
    ),
    h("p", { class: "hint" }, t("apps.rollback"), " ", h("code", {}, `sampan rollback ${name}`)),
  ];
}
