// The frame around the views: signing in, the address (#/...), menu, keys.

import * as api from "./api.js";
import { h, show } from "./dom.js";
import { allView, listView } from "./list.js";
import { appsView, appView } from "./apps.js";
import { objectView } from "./object.js";
import { overviewView } from "./overview.js";
import { runView } from "./runs.js";
import * as settings from "./settings.js";
import { traceView, tracesView } from "./traces.js";
import { problem, tick } from "./words.js";

const { t } = settings;
const THEMES = ["auto", "light", "dark"];
const SIGNS = { auto: "◐", light: "☀", dark: "☾" };
const VIEWS = {
  "": overviewView,
  apps: appsView,
  app: appView,
  run: runView,
  list: listView,
  object: objectView,
  all: allView,
  traces: tracesView,
  trace: traceView,
};
const GO = {
  o: "#/",
  a: "#/apps",
  w: "#/list/pods",
  n: "#/list/services",
  c: "#/list/configmaps",
  s: "#/list/persistentvolumeclaims",
  m: "#/list/nodes",
  e: "#/list/events",
  t: "#/traces",
  k: "#/all",
};
const MENU = [
  ["overview", "#/"],
  ["apps", "#/apps", "apps.sampan.dev"],
  ["workloads", "#/list/pods"],
  ["network", "#/list/services"],
  ["config", "#/list/configmaps"],
  ["storage", "#/list/persistentvolumeclaims"],
  ["nodes", "#/list/nodes"],
  ["events", "#/list/events"],
  ["traces", "#/traces"],
  ["all", "#/all"],
];
const TICK = 5000;

let world = null;
let page = null;
let crumbs = [];
let going = false;

// --- signing in

function signInPage(message) {
  page?.abort();
  world = null;
  const field = h("input", {
    type: "password",
    id: "token",
    name: "token",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    autofocus: true,
  });
  const wrong = h("div", { role: "alert" }, message && h("p", { class: "problem" }, message));
  const submit = async (event) => {
    event.preventDefault();
    settings.signIn(field.value.trim());
    await enter(wrong);
  };
  document.title = "Sampan";
  show(
    document.body,
    h(
      "main",
      { class: "sign-in" },
      h(
        "form",
        { class: "card", onsubmit: submit },
        h("img", { src: "logo.svg", alt: "", width: 56, height: 56 }),
        h("h1", {}, "Sampan"),
        h("label", { for: "token" }, t("signin.token")),
        field,
        wrong,
        h("button", { type: "submit", class: "primary" }, t("signin.enter")),
        h("p", { class: "hint" }, t("signin.how"), " ", h("code", {}, "sampan console")),
        h(
          "div",
          { class: "switches" },
          switches(() => signInPage()),
        ),
      ),
    ),
  );
  field.focus();
}

async function enter(box) {
  try {
    const [resources, who, version] = await Promise.all([api.discover(), identity(), api.read("/version")]);
    const namespaces = await api.read("/api/v1/namespaces").then(
      (list) => list.items.map((each) => each.metadata.name),
      () => null,
    );
    world = { resources, who, version: version.gitVersion, namespaces };
  } catch (error) {
    settings.signOut();
    if (box) show(box, error.code === 401 ? h("p", { class: "problem" }, t("signin.refused")) : problem(error));
    else signInPage(error.code === 401 ? t("signin.again") : error.message);
    return;
  }
  frame();
  route();
}

async function identity() {
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };
  const answer = await api.read("/apis/authentication.k8s.io/v1/selfsubjectreviews", { method: "POST", body });
  return answer.status.userInfo.username;
}

function leave() {
  settings.signOut();
  history.replaceState(null, "", "#/");
  signInPage();
}

// --- the frame

function switches(redraw) {
  const theme = settings.get("theme");
  const other = settings.get("language") === "zh" ? "en" : "zh";
  const nextTheme = () => {
    settings.set("theme", THEMES[(THEMES.indexOf(settings.get("theme")) + 1) % THEMES.length]);
    settings.apply();
    redraw("theme");
  };
  const language = () => {
    settings.set("language", other);
    settings.apply();
    redraw("language");
  };
  return [
    h(
      "button",
      {
        type: "button",
        id: "theme",
        class: "quiet",
        onclick: nextTheme,
        title: t("theme.title"),
        "aria-label": `${t("theme.title")}: ${t(`theme.${theme}`)}`,
      },
      SIGNS[theme],
    ),
    h(
      "button",
      { type: "button", id: "language", class: "quiet", onclick: language, lang: other === "zh" ? "zh-CN" : "en" },
      other === "zh" ? "中文" : "English",
    ),
  ];
}

function spaces() {
  const chosen = settings.get("namespace");
  const choose = (event) => {
    settings.set("namespace", event.target.value.trim());
    route();
  };
  if (!world.namespaces)
    return h("input", {
      id: "namespace",
      value: chosen,
      placeholder: t("namespace.which"),
      "aria-label": t("namespace.which"),
      onchange: choose,
    });
  if (chosen && !world.namespaces.includes(chosen)) settings.set("namespace", "");
  const all = [
    h("option", { value: "" }, t("namespace.all")),
    ...world.namespaces.map((each) => h("option", { value: each }, each)),
  ];
  const select = h(
    "select",
    { id: "namespace", "aria-label": t("namespace.which"), onchange: choose, onfocus: refresh },
    all,
  );
  select.value = settings.get("namespace");
  return select;
}

/** Namespaces may come and go while the page is open; asked again when somebody is about to choose. */
async function refresh(event) {
  const select = event.target;
  const list = await api.read("/api/v1/namespaces").catch(() => null);
  const names = list?.items.map((each) => each.metadata.name);
  if (!names || String(names) === String(world.namespaces)) return;
  world.namespaces = names;
  const chosen = select.value;
  show(
    select,
    h("option", { value: "" }, t("namespace.all")),
    names.map((each) => h("option", { value: each }, each)),
  );
  select.value = chosen;
}

function frame() {
  const menu = h(
    "nav",
    { id: "menu", class: "menu", "aria-label": t("nav.menu") },
    MENU.filter(([, , needs]) => !needs || world.resources.has(needs)).map(([name, href]) =>
      h("a", { href, "data-section": name }, t(`nav.${name}`)),
    ),
  );
  const toggle = h(
    "button",
    {
      type: "button",
      class: "quiet only-narrow",
      "aria-label": t("nav.menu"),
      "aria-controls": "menu",
      "aria-expanded": "false",
      onclick: () => toggle.setAttribute("aria-expanded", String(document.body.classList.toggle("menu-open"))),
    },
    "☰",
  );
  const again = (what) => {
    frame();
    route();
    document.getElementById(what)?.focus();
  };
  document.body.className = "";
  show(
    document.body,
    h(
      "a",
      {
        href: "#main",
        class: "skip",
        onclick: (event) => (event.preventDefault(), document.querySelector("main").focus()),
      },
      t("nav.skip"),
    ),
    h(
      "header",
      { class: "bar" },
      toggle,
      h("a", { href: "#/", class: "brand" }, h("img", { src: "logo.svg", alt: "", width: 26, height: 26 }), "Sampan"),
      spaces(),
      h("span", { id: "state", class: "state", role: "status" }),
      h(
        "div",
        { class: "switches" },
        switches(again),
        h(
          "button",
          {
            type: "button",
            class: "quiet",
            onclick: help,
            title: t("keys.title"),
            "aria-label": t("keys.title"),
            "aria-keyshortcuts": "?",
          },
          "?",
        ),
        h(
          "button",
          { type: "button", id: "leave", class: "quiet", onclick: leave, title: world.who },
          t("signin.leave"),
        ),
      ),
    ),
    menu,
    h("main", { tabindex: "-1" }),
    help.dialog(),
    h("footer", {}, h("span", {}, world.who), h("span", {}, world.version)),
  );
}

// --- the address

async function find([kind, group, namespace, name]) {
  const found = [...world.resources.values()].find(
    (each) => each.kind === kind && (each.group === (group === "-" ? "" : group) || group === "-"),
  );
  if (!found) return void (location.hash = "#/all");
  location.replace(
    found.key === "apps.sampan.dev" ? `#/app/${namespace}/${name}` : `#/object/${found.key}/${namespace}/${name}`,
  );
}

function route() {
  if (!world) return;
  page?.abort();
  const mine = new AbortController();
  page = mine;
  const [view = "", ...raw] = location.hash.replace(/^#\/?/, "").split("/");
  const params = raw.map(decodeURIComponent);
  if (view === "find") return void find(raw);
  const main = document.querySelector("main");
  const heading = h("h1", {});
  const above = h("nav", { class: "crumbs", "aria-label": t("nav.crumbs") });
  const state = (name, error) => {
    if (mine.signal.aborted) return;
    const place = document.getElementById("state");
    place.className = `state ${name}`;
    place.textContent = t(`state.${name}`);
    place.title = error?.message || "";
  };
  const title = (text, section, links = []) => {
    heading.textContent = text;
    document.title = `${text} · Sampan`;
    crumbs = links;
    show(
      above,
      links.map(([href, label]) => [h("a", { href }, label), " / "]),
    );
    for (const each of document.querySelectorAll(".menu a")) {
      if (each.dataset.section === section) each.setAttribute("aria-current", "page");
      else each.removeAttribute("aria-current");
    }
  };
  state("loading");
  document.body.classList.remove("menu-open");
  document.querySelector("[aria-controls=menu]")?.setAttribute("aria-expanded", "false");
  const leaving = (act) => mine.signal.addEventListener("abort", act, { once: true });
  let content;
  try {
    content = (VIEWS[view] || VIEWS[""])({ world, params, signal: mine.signal, state, title, leave: leaving });
  } catch (error) {
    content = problem(error);
    console.error(error);
  }
  show(main, above, heading, content);
  scrollTo(0, 0);
}

// --- keys

function help() {
  document.getElementById("keys").showModal();
}

help.dialog = () => {
  const keys = [
    ["/", "filter"],
    ["j k", "rows"],
    ["Enter", "open"],
    ["Esc", "up"],
    ["l", "logs"],
    ["s", "shell"],
    ["y", "yaml"],
    ["[ ]", "tabs"],
    ["n", "namespace"],
    ["?", "help"],
  ];
  const places = MENU.map(([name, href]) => [`g ${Object.keys(GO).find((key) => GO[key] === href)}`, t(`nav.${name}`)]);
  const list = (pairs) =>
    h(
      "dl",
      { class: "keys-list" },
      pairs.map(([key, text]) => [
        h(
          "dt",
          {},
          key.split(" ").map((each) => h("kbd", {}, each)),
        ),
        h("dd", {}, text),
      ]),
    );
  return h(
    "dialog",
    { id: "keys", "aria-labelledby": "keys-title" },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: "keys-title" }, t("keys.title")),
      h("div", { class: "two" }, list(keys.map(([key, name]) => [key, t(`keys.${name}`)])), list(places)),
      h("button", { type: "submit", class: "primary", autofocus: true }, t("keys.close")),
    ),
  );
};

const rows = () => [...document.querySelectorAll("main a.name")].filter((each) => each.offsetParent);

function step(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(document.activeElement);
  const next = all[Math.max(0, Math.min(all.length - 1, at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by))];
  next.focus();
  next.closest("tr, .app")?.scrollIntoView({ block: "nearest" });
}

function tab(by) {
  const all = [...document.querySelectorAll("main .tabs a")];
  const at = all.findIndex((each) => each.hasAttribute("aria-current"));
  if (all.length) location.hash = all[(at + by + all.length) % all.length].hash;
}

function up() {
  if (document.body.classList.contains("menu-open")) document.body.classList.remove("menu-open");
  else if (crumbs.length) location.hash = crumbs.at(-1)[0];
}

const KEYS = {
  "/": () => document.querySelector("main .filter")?.focus(),
  j: () => step(1),
  k: () => step(-1),
  "?": help,
  n: () => document.getElementById("namespace")?.focus(),
  "]": () => tab(1),
  "[": () => tab(-1),
  l: () => document.querySelector("[data-tab=logs]")?.click(),
  s: () => document.querySelector("[data-tab=shell]")?.click(),
  y: () => document.querySelector("[data-tab=yaml]")?.click(),
};

function pressed(event) {
  if (
    !world ||
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    event.isComposing ||
    document.querySelector("dialog[open]")
  )
    return;
  const field = event.target.closest?.("input:not([type=checkbox]), textarea, select");
  if (event.key === "Escape") return field ? field.blur() : up();
  if (event.key === "Enter" && field?.classList.contains("filter")) return rows()[0]?.focus();
  if (field) return;
  const act = going ? GO[event.key] && (() => (location.hash = GO[event.key])) : KEYS[event.key];
  going = !going && event.key === "g";
  if (!act) return;
  event.preventDefault();
  act();
}

function start() {
  settings.apply();
  const given = /^#token=([\w.-]+)$/.exec(location.hash);
  if (given) {
    // From an address that a person pasted: it is taken out of the address and of the browser's history at once.
    settings.signIn(given[1]);
    history.replaceState(null, "", "#/");
  }
  api.onSignedOut(() => world && (settings.signOut(), signInPage(t("signin.again"))));
  addEventListener("hashchange", route);
  addEventListener("keydown", pressed);
  setInterval(tick, TICK);
  if (settings.token()) enter();
  else signInPage();
}

start();
