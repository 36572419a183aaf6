// The Kubernetes API from a page: requests with the person's own token, lists that stay true, WebSockets.

import { token } from "./settings.js";

export const TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
/** Objects of one list that a page shows; a browser has to lay all of them out. */
export const LIMIT = 1000;
const AGAIN = 2000;

export class ApiError extends Error {
  constructor(code, reason, message) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

let signedOut = () => {};
/** What happens when the server does not take the token any more. */
export const onSignedOut = (act) => (signedOut = act);

export async function request(path, { accept = "application/json", signal, method = "GET", body } = {}) {
  const headers = { Accept: accept, Authorization: `Bearer ${token()}` };
  if (body) headers["Content-Type"] = "application/json";
  const options = { method, headers, body: body && JSON.stringify(body), signal, cache: "no-store", credentials: "omit" };
  const answer = await fetch(path, options).catch((error) => {
    // A browser on the cluster's machine drops what is under way when a link comes or goes there, as pods' do.
    if (!(error instanceof TypeError) || !(method === "GET" || path.endsWith("reviews"))) throw error;
    return fetch(path, options);
  });
  if (answer.ok) return answer;
  const text = await answer.text();
  let status = {};
  try {
    status = JSON.parse(text);
  } catch {
    status = { message: text };
  }
  if (answer.status === 401) signedOut();
  throw new ApiError(answer.status, status.reason || "", status.message || answer.statusText);
}

export const read = async (path, options) => (await request(path, options)).json();

export function query(values) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value) pairs.set(name, value);
  const text = pairs.toString();
  return text && `?${text}`;
}

/** Lines of a streamed answer; the last one may come without its end. */
export async function* lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      yield* parts;
    }
    if (rest) yield rest;
  } finally {
    reader.cancel().catch(() => {});
  }
}

// --- streams of the page that is seen

const pause = (time, signal) =>
  new Promise((done) => {
    const timer = setTimeout(done, time);
    signal.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
  });

const visible = (signal) =>
  new Promise((done) => {
    const check = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", check);
      done();
    };
    document.addEventListener("visibilitychange", check);
    signal.addEventListener("abort", check, { once: true });
    check();
  });

/**
 * Runs `once(signal)` over and over while the tab is seen. A browser gives a host six connections for all of its tabs
 * together, so a hidden tab keeps none. `state` hears "live", "again" (with the error) or "refused" (for good).
 */
export async function keep(signal, once, state, rest = AGAIN) {
  while (!signal.aborted) {
    await visible(signal);
    if (signal.aborted) return;
    const inner = new AbortController();
    const stop = () => inner.abort();
    const hide = () => document.hidden && inner.abort();
    signal.addEventListener("abort", stop, { once: true });
    document.addEventListener("visibilitychange", hide);
    try {
      if ((await once(inner.signal)) === "end") return;
    } catch (error) {
      if (signal.aborted) return;
      if (!inner.signal.aborted) {
        const final = error instanceof ApiError && error.code >= 400 && error.code < 500;
        if (final && ![408, 410, 429].includes(error.code)) return void state("refused", error);
        state("again", error);
        if (error.code !== 410) await pause(rest, signal);
      }
    } finally {
      inner.abort();
      signal.removeEventListener("abort", stop);
      document.removeEventListener("visibilitychange", hide);
    }
  }
}

/**
 * A list and what changes in it. `changed` gets {items, columns, more}; items are a Map of uid to a row
 * {cells, object} of a Table, or to the object itself with `whole`.
 */
export function live(path, { fields, labels, whole, objects, signal, changed, state }) {
  const accept = whole ? "application/json" : TABLE;
  const select = { fieldSelector: fields, labelSelector: labels, includeObject: objects && "Object" };
  let columns = [];
  const take = (object, put) => {
    if (whole) return put(object, object);
    columns = object.columnDefinitions?.length ? object.columnDefinitions : columns;
    for (const row of object.rows || []) put(row.object, row);
  };
  return keep(
    signal,
    async (inner) => {
      const list = await read(path + query({ ...select, limit: LIMIT }), { accept, signal: inner });
      const items = new Map();
      const put = (object, item) => items.set(object.metadata.uid || object.metadata.name, item);
      if (whole) for (const item of list.items || []) put(item, item);
      else take(list, put);
      const more = Boolean(list.metadata.continue);
      const tell = () => changed({ items, columns, more });
      tell();
      state("live");
      const watch = query({ ...select, watch: "true", resourceVersion: list.metadata.resourceVersion });
      for await (const line of lines(await request(path + watch, { accept, signal: inner }))) {
        if (!line) continue;
        const { type, object } = JSON.parse(line);
        if (type === "ERROR") throw new ApiError(object.code || 410, object.reason || "", object.message || "");
        if (type === "BOOKMARK") continue;
        take(object, (found, item) => {
          if (type === "DELETED") items.delete(found.metadata.uid || found.metadata.name);
          else if (items.size < LIMIT || items.has(found.metadata.uid)) put(found, item);
        });
        tell();
      }
    },
    state,
  );
}

/** An upgrade with the token as a subprotocol, the only place where a page can put it. */
export function socket(path) {
  const secret = btoa(token()).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const opened = new WebSocket(`${location.origin.replace(/^http/, "ws")}${path}`, [
    "v5.channel.k8s.io",
    `base64url.bearer.authorization.k8s.io.${secret}`,
  ]);
  opened.binaryType = "arraybuffer";
  return opened;
}

// --- what the server serves

/** {"pods": resource, "deployments.apps": resource}: {group, version, plural, kind, namespaced, verbs}. */
export async function discover(signal) {
  const found = new Map();
  for (const root of ["/api", "/apis"]) {
    const list = await read(root, { accept: DISCOVERY, signal });
    for (const group of list.items || []) {
      for (const { version, resources } of group.versions || []) {
        for (const each of resources || []) {
          const name = group.metadata?.name || "";
          const key = name ? `${each.resource}.${name}` : each.resource;
          if (found.has(key)) continue; // the first version is the preferred one
          const kind = each.responseKind?.kind || "";
          const namespaced = each.scope === "Namespaced";
          found.set(key, {
            key,
            group: name,
            version,
            plural: each.resource,
            kind,
            namespaced,
            verbs: each.verbs || [],
          });
        }
      }
    }
  }
  return found;
}

/** The path of a collection or of one of its objects; no namespace means all of them. */
export function path(resource, namespace, name) {
  const root = resource.group ? `/apis/${resource.group}/${resource.version}` : `/api/${resource.version}`;
  const middle = resource.namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  return `${root}${middle}/${resource.plural}${name ? `/${encodeURIComponent(name)}` : ""}`;
}

export const link = (key, namespace, name, tab) =>
  `#/object/${key}/${namespace || "-"}/${encodeURIComponent(name)}${tab ? `/${tab}` : ""}`;
