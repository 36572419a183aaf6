// What nodes and pods use: metrics.k8s.io asked every few seconds, as small lines of SVG.

import { keep, path, read } from "./api.js";
import { h, s, show } from "./dom.js";
import { t } from "./settings.js";
import { bytes, cores, empty, quantity } from "./words.js";

const EVERY = 10000;
const POINTS = 180;
const KEPT = 64;
const [W, H] = [300, 72];
/** Readings by place, so that a chart goes on when its page is opened again; the place seen longest ago goes. */
const history = new Map();

function note(key, cpu, memory) {
  const points = history.get(key) || [];
  points.push({ at: Date.now(), cpu, memory });
  if (points.length > POINTS) points.shift();
  history.delete(key);
  history.set(key, points);
  if (history.size > KEPT) history.delete(history.keys().next().value);
  return points;
}

function chart(title, points, value, format, most) {
  const values = points.map(value);
  const last = values.at(-1) ?? 0;
  const top = most || Math.max(...values, 0.001) * 1.2;
  const from = points[0]?.at ?? 0;
  const span = Math.max(60000, (points.at(-1)?.at ?? 0) - from);
  const spots = points.map(
    (point, at) =>
      `${(((point.at - from) / span) * W).toFixed(1)},${(H - Math.min(1, values[at] / top) * (H - 4) - 1).toFixed(1)}`,
  );
  const end = spots.at(-1)?.split(",") || [0, H];
  const told = most ? `${format(last)} / ${format(most)}` : format(last);
  return h(
    "figure",
    { class: "chart" },
    h("figcaption", {}, title, h("strong", {}, told)),
    s(
      "svg",
      { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${told}` },
      s("line", { x1: 0, x2: W, y1: H - 1, y2: H - 1, class: "axis" }),
      s("polygon", { points: `0,${H} ${spots.join(" ")} ${end[0]},${H}`, class: "area" }),
      s("polyline", { points: spots.length > 1 ? spots.join(" ") : `0,${end[1]} ${W},${end[1]}`, class: "line" }),
    ),
  );
}

const sum = (list) =>
  list.reduce((all, usage) => ({ cpu: all.cpu + quantity(usage.cpu), memory: all.memory + quantity(usage.memory) }), {
    cpu: 0,
    memory: 0,
  });

/** Charts of one pod or node, or of all nodes without a name. `most` gives {cpu, memory} to compare with, or nothing. */
export function usage({ resource, namespace, name, signal, most }) {
  const box = h("div", { class: "charts" }, h("p", { class: "hint" }, t("metrics.waiting")));
  const where = path(resource, namespace, name);
  const ask = async () => {
    for (;;) {
      const answer = await read(where, { signal });
      const found = sum(
        (answer.items || [answer]).flatMap((each) => each.usage ?? (each.containers || []).map((c) => c.usage)),
      );
      const points = note(where, found.cpu, found.memory);
      const limit = most?.() || {};
      show(
        box,
        chart(t("metrics.cpu"), points, (p) => p.cpu, cores, limit.cpu),
        chart(t("metrics.memory"), points, (p) => p.memory, bytes, limit.memory),
      );
      await new Promise((done, stop) => {
        const timer = setTimeout(done, EVERY);
        signal.addEventListener("abort", () => (clearTimeout(timer), stop(signal.reason)), { once: true });
      });
      if (document.hidden) return;
    }
  };
  keep(
    signal,
    ask,
    (state, error) => state !== "live" && error && show(box, empty(t("metrics.none", { why: error.message }))),
    EVERY,
  );
  return box;
}
