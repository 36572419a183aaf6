// Runs of an app's pipeline: from a commit to a release, stage by stage, with what the stages wrote.

import { keep, lines, live, path, query, request } from "./api.js";
import { framed, h, show } from "./dom.js";
import { COLOURS, LIMIT } from "./logs.js";
import { t } from "./settings.js";
import { badge, card, empty, facts, moment, problem, word } from "./words.js";
import { framedWith } from "./overview.js";

/** Runs that an app's page shows; older ones: sampan pipeline APP. */
const SHOWN = 8;
const KIND = { Succeeded: "good", Failed: "bad", Aborted: "bad", Unstable: "wait", Running: "wait" };
const MARK = { Succeeded: "✓", Failed: "✕", Aborted: "✕", Unstable: "!", Running: "…", Skipped: "–" };
const ENDED = ["Succeeded", "Unstable", "Failed", "Aborted"];

const phase = (run) => run.status?.phase || "Pending";
const branch = (run) => (run.spec.source.ref || "").split("/").slice(2).join("/");
const commit = (run) => (run.status?.commit || run.spec.source.commit || "").slice(0, 8);
const place = (run) => `#/run/${run.metadata.namespace}/${encodeURIComponent(run.metadata.name)}`;

function took({ startedAt, finishedAt }) {
  if (!startedAt) return "";
  const seconds = Math.max(0, ((finishedAt ? Date.parse(finishedAt) : Date.now()) - Date.parse(startedAt)) / 1000);
  return seconds < 60 ? `${Math.round(seconds)}s` : `${Math.floor(seconds / 60)}m${Math.round(seconds % 60)}s`;
}

const stages = (run) =>
  h(
    "ol",
    { class: "stages", "aria-label": t("runs.stages") },
    (run.status?.stages || []).map((stage) =>
      h(
        "li",
        { class: KIND[stage.phase] || "", title: `${stage.name}: ${stage.message || word(stage.phase)}` },
        h("span", { class: "mark", "aria-hidden": "true" }, MARK[stage.phase] || "·"),
        h("strong", {}, stage.name),
        h("small", {}, word(stage.phase), " ", took(stage)),
      ),
    ),
  );

function why(run) {
  const { kind = "", by, message } = run.spec.trigger || {};
  return [t("runs.by", { kind: word(kind), by: by || "?" }), message && `: ${message}`];
}

const entry = (run) =>
  h(
    "li",
    { class: "run" },
    h(
      "header",
      {},
      h("a", { href: place(run), class: "name" }, `#${run.status?.number || "?"}`),
      badge(word(phase(run)), KIND[phase(run)]),
      h("code", {}, `${branch(run)} ${commit(run)}`),
      h("span", {}, why(run)),
      moment(run.metadata.creationTimestamp),
    ),
    stages(run),
    run.status?.message && phase(run) !== "Succeeded" && h("p", { class: "why" }, run.status.message),
  );

/** What an app's page shows of its pipeline; nothing where the server has none. */
export function runsCard({ world, namespace, app, signal }) {
  const resource = world.resources.get("pipelineruns.sampan.dev");
  if (!resource) return "";
  const box = h("div");
  live(path(resource, namespace), {
    whole: true,
    labels: `sampan.dev/app=${app}`,
    signal,
    state: (status, error) => status === "refused" && show(box, problem(error)),
    changed: framedWith(({ items }) => {
      const found = [...items.values()].sort((a, b) => (b.status?.number || 1e9) - (a.status?.number || 1e9));
      const none = [empty(t("runs.none")), h("p", { class: "hint" }, h("code", {}, `sampan remote ${app}`))];
      show(box, found.length ? h("ol", { class: "runs" }, found.slice(0, SHOWN).map(entry)) : none);
    }),
  });
  return card(t("runs.pipeline"), box);
}

export function runView({ world, params: [namespace, name], signal, state, title }) {
  title(name, "apps", [["#/apps", t("nav.apps")]]);
  const resource = world.resources.get("pipelineruns.sampan.dev");
  if (!resource) return empty(t("runs.unserved"));
  const top = h("div");
  const box = h("div", { class: "log", role: "log", "aria-label": t("tab.logs"), "aria-live": "off", tabindex: "0" });
  const notice = h("div");
  let reading = false;
  live(path(resource, namespace), {
    whole: true,
    fields: `metadata.name=${name}`,
    signal,
    state: (status, error) => (state(status, error), status === "refused" && show(top, problem(error))),
    changed: framedWith(({ items }) => {
      const [run] = items.values();
      if (!run) return void show(top, empty(t("object.gone")));
      const { app } = run.spec;
      const crumb = [`#/app/${namespace}/${encodeURIComponent(app)}`, app];
      title(`${app} #${run.status?.number || "?"}`, "apps", [["#/apps", t("nav.apps")], crumb]);
      show(top, summary(run));
      if (reading || !run.status?.node) return;
      reading = true;
      readLog(path(resource, namespace, name), { box, notice, signal });
    }),
  });
  return [top, card(t("tab.logs"), notice, box)];
}

function summary(run) {
  const { status = {}, spec } = run;
  return [
    card(
      "",
      facts([
        [word("Status"), [badge(word(phase(run)), KIND[phase(run)]), " ", took(status)]],
        [t("runs.commit"), h("code", {}, `${branch(run)} ${commit(run)}`)],
        [t("apps.cause"), why(run)],
        [t("apps.source"), spec.source.url ? h("code", {}, spec.source.url) : undefined],
        [word("Image"), status.image && h("code", {}, status.image)],
        [t("apps.release"), status.release],
        [word("Message"), status.message],
        [word("Age"), moment(run.metadata.creationTimestamp)],
      ]),
    ),
    card(t("runs.stages"), stages(run), !ENDED.includes(phase(run)) && h("p", { class: "hint" }, t("runs.goes"))),
  ];
}

/** The run's log to its end, as it is written. */
function readLog(where, { box, notice, signal }) {
  let waiting = [];
  const flush = framed(() => {
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    box.append(...waiting.map((text) => h("div", {}, text || "\u00a0")));
    waiting = [];
    while (box.childElementCount > LIMIT) box.firstElementChild.remove();
    if (atEnd) box.scrollTop = box.scrollHeight;
  });
  keep(
    signal,
    async (inner) => {
      const answer = await request(where + "/log" + query({ follow: "true" }), { accept: "*/*", signal: inner });
      show(notice);
      show(box);
      for await (const line of lines(answer)) {
        waiting.push(line.replace(COLOURS, ""));
        if (waiting.length > LIMIT) waiting = waiting.slice(-LIMIT);
        flush();
      }
      return inner.aborted ? "" : "end";
    },
    (status, error) => error && show(notice, problem(error)),
  );
}
