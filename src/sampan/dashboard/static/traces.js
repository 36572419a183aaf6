// The way of a request through the parts of an application, as a waterfall.

import { path, read } from "./api.js";
import { h, s, show } from "./dom.js";
import { get, t } from "./settings.js";
import { card, empty, moment, problem } from "./words.js";

const LANE = 26;
const NAMES = 34;

export function tracesView({ world, signal, title }) {
  title(t("nav.traces"), "traces");
  const resource = [...world.resources.values()].find((each) => each.plural === "traces" && each.group.endsWith("sampan.dev"));
  if (!resource) return empty(t("traces.unserved"));
  const box = h("div");
  read(path(resource, get("namespace")), { signal }).then(
    (list) => show(box, list.items.length ? list.items.map((each) => card("", moment(each.metadata.creationTimestamp), waterfall(each.spans))) : empty(t("traces.none"))),
    (error) => show(box, problem(error)),
  );
  return box;
}

export function waterfall(spans) {
  return h("div", {}, s("svg", { viewBox: `0 0 ${NAMES} ${LANE * spans.length}` }));
}
