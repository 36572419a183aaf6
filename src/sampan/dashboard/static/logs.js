// What a container writes, as it writes it. Bounded: old lines go.

import { keep, lines, path, query, request } from "./api.js";
import { framed, h, show } from "./dom.js";
import { one } from "./object.js";
import { t } from "./settings.js";
import { problem } from "./words.js";

const TAIL = 500;
/** Lines that the page holds. */
export const LIMIT = 5000;
export const COLOURS = /\x1b\[[0-9;?]*[ -/]*[@-~]/g;

export function logsTab(here) {
  const { resource, namespace, name, state, signal } = here;
  const wished = location.hash.split("/")[6];
  const field = h("input", {
    type: "search",
    class: "filter",
    placeholder: t("logs.search"),
    "aria-label": t("logs.search"),
    "aria-keyshortcuts": "/",
    oninput: () => redraw(),
  });
  const pick = h("select", { "aria-label": t("pod.container"), onchange: () => start() });
  const previous = h("input", { type: "checkbox", onchange: () => start() });
  const follow = h("input", { type: "checkbox", checked: true, onchange: () => start() });
  const times = h("input", { type: "checkbox", onchange: () => redraw() });
  const box = h("div", { class: "log", role: "log", "aria-label": t("tab.logs"), "aria-live": "off", tabindex: "0" });
  const notice = h("div");
  let held = [];
  let waiting = [];
  let running = null;

  const match = (line) => !field.value || line.text.toLowerCase().includes(field.value.toLowerCase());
  const element = (line) =>
    h("div", {}, times.checked && h("time", { class: "stamp" }, line.time), line.text || "\u00a0");

  const flush = framed(() => {
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    held.push(...waiting);
    box.append(...waiting.filter(match).map(element));
    waiting = [];
    if (held.length > LIMIT) held = held.slice(-LIMIT);
    while (box.childElementCount > LIMIT) box.firstElementChild.remove();
    if (atEnd) box.scrollTop = box.scrollHeight;
    if (!box.childElementCount) show(notice, h("p", { class: "empty" }, t("logs.empty")));
    else show(notice);
  });

  function redraw() {
    show(box, held.filter(match).map(element));
    box.scrollTop = box.scrollHeight;
  }

  function start() {
    running?.abort();
    running = new AbortController();
    const { signal: mine } = running;
    signal.addEventListener("abort", () => mine.aborted || running.abort(), { once: true });
    held = [];
    waiting = [];
    show(box);
    show(notice);
    let last = "";
    const following = follow.checked && !previous.checked;
    keep(
      mine,
      async (inner) => {
        // After a pause only what is new: from the last line's second on, and without lines that are here.
        const since = last && { sinceTime: `${last.slice(0, 19)}Z` };
        const where =
          path(resource, namespace, name) +
          "/log" +
          query({
            container: pick.value,
            timestamps: "true",
            follow: following && "true",
            previous: previous.checked && "true",
            tailLines: !last && String(TAIL),
            ...since,
          });
        const boundary = last;
        const answer = await request(where, { accept: "*/*", signal: inner });
        state("live");
        flush();
        for await (const line of lines(answer)) {
          const [, time, text] = /^(\S+Z) ?(.*)$/.exec(line) || ["", "", "", line];
          if (time && boundary && time <= boundary) continue;
          last = time || last;
          waiting.push({ time, text: (text ?? line).replace(COLOURS, "") });
          if (waiting.length > LIMIT) waiting = waiting.slice(-LIMIT);
          flush();
        }
        flush();
        state("ended");
        return inner.aborted && !mine.aborted ? "" : "end";
      },
      (status, error) => {
        state(status === "refused" ? "ended" : status);
        if (error) show(notice, problem(error));
      },
    );
  }

  one(
    { ...here, state: () => {} },
    (pod) => {
      if (pick.options.length) return;
      const all = [
        ...(pod.spec.containers || []),
        ...(pod.spec.initContainers || []),
        ...(pod.spec.ephemeralContainers || []),
      ];
      show(
        pick,
        all.map((each) => h("option", { value: each.name }, each.name)),
      );
      if (all.some((each) => each.name === wished)) pick.value = wished;
      start();
    },
    notice,
  );

  return [
    h(
      "div",
      { class: "tools" },
      field,
      h("label", {}, t("pod.container"), " ", pick),
      h("label", {}, follow, t("logs.follow")),
      h("label", {}, previous, t("logs.previous")),
      h("label", {}, times, t("logs.times")),
    ),
    notice,
    box,
  ];
}
