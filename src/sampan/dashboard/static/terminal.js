// A terminal on the page: draws a Screen, turns keys into what programs expect, speaks exec's WebSocket channels.

import { path, socket } from "./api.js";
import { framed, h, show } from "./dom.js";
import { t } from "./settings.js";
import { Screen } from "./vt.js";

const SHELL = "TERM=xterm-256color; export TERM; command -v bash >/dev/null 2>&1 && exec bash; exec sh";
const [STDIN, STDOUT, STDERR, ERROR, RESIZE] = [0, 1, 2, 3, 4];
const PASTE = 1 << 20;
const CURSOR = { ArrowUp: "A", ArrowDown: "B", ArrowRight: "C", ArrowLeft: "D", Home: "H", End: "F" };
const TILDE = {
  Insert: 2,
  Delete: 3,
  PageUp: 5,
  PageDown: 6,
  F5: 15,
  F7: 18,
  F8: 19,
  F9: 20,
  F10: 21,
  F11: 23,
  F12: 24,
};
const PLAIN = {
  Enter: "\r",
  Backspace: "\x7f",
  Tab: "\t",
  Escape: "\x1b",
  F1: "\x1bOP",
  F2: "\x1bOQ",
  F3: "\x1bOR",
  F4: "\x1bOS",
};

/** What a key sends; "" for one that is text or means nothing here. */
export function keyText(event, modes) {
  const { key } = event;
  const alt = event.altKey ? "\x1b" : "";
  if (event.isComposing || event.metaKey) return "";
  const modifier = 1 + (event.shiftKey ? 1 : 0) + (event.altKey ? 2 : 0) + (event.ctrlKey ? 4 : 0);
  if (CURSOR[key]) {
    if (modifier > 1) return `\x1b[1;${modifier}${CURSOR[key]}`;
    return `\x1b${modes.keys ? "O" : "["}${CURSOR[key]}`;
  }
  if (TILDE[key]) return `\x1b[${TILDE[key]}${modifier > 1 ? `;${modifier}` : ""}~`;
  if (key === "Tab" && event.shiftKey) return "\x1b[Z";
  if (PLAIN[key]) return alt + PLAIN[key];
  if (event.ctrlKey && !event.shiftKey && key.length === 1) {
    const code = key.toUpperCase().charCodeAt(0);
    if (key === " " || key === "@") return `${alt}\0`;
    if (code >= 64 && code < 96) return alt + String.fromCharCode(code & 31);
  }
  return event.altKey && key.length === 1 ? alt + key : "";
}

export class Terminal {
  /** `send(text)` gets what is typed, `resized(columns, rows)` the size whenever it changes. */
  constructor(send, resized) {
    this.send = send;
    this.resized = resized;
    this.screen = new Screen(80, 24, send);
    this.rows = h("div", { class: "rows", "aria-hidden": "true" });
    this.ruler = h("span", { class: "ruler", "aria-hidden": "true" }, "M".repeat(20));
    this.input = h("textarea", {
      class: "keys",
      "aria-label": t("shell.input"),
      autocapitalize: "off",
      autocomplete: "off",
      spellcheck: "false",
      rows: "1",
    });
    this.spoken = h("div", { class: "unseen", role: "log", "aria-live": "polite" });
    this.node = h("div", { class: "terminal" }, this.ruler, this.rows, this.input, this.spoken);
    this.draw = framed(() => this.paint());
    this.node.addEventListener(
      "mouseup",
      () => getSelection().isCollapsed && this.input.focus({ preventScroll: true }),
    );
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("input", (event) => !event.isComposing && this.typed());
    this.input.addEventListener("compositionend", () => this.typed());
    this.input.addEventListener("paste", (event) => this.paste(event));
    for (const name of ["focus", "blur"]) this.input.addEventListener(name, this.draw);
    this.watcher = new ResizeObserver(() => this.fit());
    this.watcher.observe(this.node);
  }

  close() {
    this.watcher.disconnect();
  }

  write(text) {
    this.screen.write(text);
    this.draw();
    // What comes within a moment is read out together, and only its end.
    this.unread = ((this.unread || "") + text).slice(-500);
    clearTimeout(this.reading);
    this.reading = setTimeout(() => {
      this.spoken.textContent = this.unread.replace(/\x1b(\[[0-9;?]*[ -/]*[@-~]|\].*?(\x07|\x1b\\)|.)/g, "").trim();
      this.unread = "";
    }, 300);
  }

  fit() {
    const box = this.ruler.getBoundingClientRect();
    if (!box.width) return;
    const columns = Math.max(20, Math.floor((this.node.clientWidth - 16) / (box.width / 20)));
    const rows = Math.max(5, Math.floor((this.node.clientHeight - 16) / box.height));
    this.screen.resize(columns, rows);
    this.resized(columns, rows);
    this.draw();
  }

  key(event) {
    if (event.key === "F6") return void this.node.closest("main")?.querySelector("a,button,select")?.focus();
    if (event.ctrlKey && event.shiftKey) return; // the browser's copy and paste
    if (event.ctrlKey && event.key === "c" && !getSelection().isCollapsed) return;
    event.stopPropagation();
    const text = keyText(event, this.screen.modes);
    if (!text) return;
    event.preventDefault();
    this.send(text);
  }

  typed() {
    if (this.input.value) this.send(this.input.value);
    this.input.value = "";
  }

  paste(event) {
    event.preventDefault();
    const text = event.clipboardData.getData("text").slice(0, PASTE).replaceAll(/\r?\n/g, "\r").replaceAll("\x1b", "");
    this.send(this.screen.modes.paste ? `\x1b[200~${text}\x1b[201~` : text);
  }

  paint() {
    const { screen } = this;
    const atEnd = this.rows.scrollHeight - this.rows.scrollTop - this.rows.clientHeight < 40;
    const above = screen.other ? [] : screen.scrollback;
    const all = [...above, ...screen.lines];
    const cursor = screen.modes.cursor ? above.length + screen.y : -1;
    show(
      this.rows,
      all.map((line, y) => h("div", {}, runs(line, y === cursor ? screen.x : -1))),
    );
    this.rows.classList.toggle("focused", document.activeElement === this.input);
    if (atEnd) this.rows.scrollTop = this.rows.scrollHeight;
  }
}

/** A line as spans of equal style. */
function runs(line, cursor) {
  const spans = [];
  let text = "";
  let end = line.length;
  while (end > 0 && line[end - 1].ch === " " && !line[end - 1].style.bg && !line[end - 1].style.inverse) end -= 1;
  const flush = (style, mark) => {
    if (text) spans.push(span(text, style, mark));
    text = "";
  };
  for (let x = 0; x < Math.max(end, cursor + 1); x += 1) {
    const { ch, style } = line[x];
    if (x === cursor) {
      if (x > 0) flush(line[x - 1].style);
      text = ch || " ";
      flush(style, true);
      continue;
    }
    if (x > 0 && x - 1 !== cursor && line[x - 1].style !== style) flush(line[x - 1].style);
    text += ch;
    if (x + 1 >= Math.max(end, cursor + 1)) flush(style);
  }
  return spans.length ? spans : "\u00a0";
}

function span(text, style, cursor) {
  const names = ["bold", "dim", "italic", "under", "strike", "hidden"].filter((name) => style[name]);
  let [fg, bg] = [style.fg, style.bg];
  if (style.inverse) [fg, bg] = [bg || "back", fg || "front"];
  if (fg && !fg.startsWith("rgb")) names.push(`f${fg}`);
  if (bg && !bg.startsWith("rgb")) names.push(`b${bg}`);
  if (cursor) names.push("cursor");
  const node = h("span", { class: names.join(" ") || null }, text);
  if (fg.startsWith("rgb")) node.style.color = fg;
  if (bg.startsWith("rgb")) node.style.backgroundColor = bg;
  return node;
}

/** A shell in a container; `say(text, state)` hears how the connection is. Returns {node, close, focus}. */
export function shell(pods, namespace, pod, container, say) {
  const bytes = new TextEncoder();
  const decoders = { [STDOUT]: new TextDecoder(), [STDERR]: new TextDecoder() };
  const where = new URLSearchParams({ container, stdin: "true", stdout: "true", tty: "true" });
  for (const word of ["/bin/sh", "-c", SHELL]) where.append("command", word);
  const line = socket(`${path(pods, namespace, pod)}/exec?${where}`);
  const put = (channel, text) => {
    if (line.readyState !== WebSocket.OPEN) return;
    const content = bytes.encode(text);
    const frame = new Uint8Array(content.length + 1);
    frame[0] = channel;
    frame.set(content, 1);
    line.send(frame);
  };
  let size = "";
  const terminal = new Terminal(
    (text) => put(STDIN, text),
    (Width, Height) => put(RESIZE, (size = JSON.stringify({ Width, Height }))),
  );
  let ended = "";
  say(t("shell.connecting"), "wait");
  line.onopen = () => {
    say(t("shell.connected"), "live");
    if (size) put(RESIZE, size);
    terminal.input.focus({ preventScroll: true });
  };
  line.onmessage = ({ data }) => {
    const frame = new Uint8Array(data);
    const content = frame.subarray(1);
    if (decoders[frame[0]]) terminal.write(decoders[frame[0]].decode(content, { stream: true }));
    else if (frame[0] === ERROR) {
      const status = JSON.parse(new TextDecoder().decode(content));
      ended = status.status === "Success" ? t("shell.ended") : status.message || status.reason;
    }
  };
  line.onclose = ({ reason }) => say(ended || reason || t("shell.refused"), "end");
  return {
    node: terminal.node,
    terminal,
    focus: () => terminal.input.focus(),
    close: () => (line.close(), terminal.close()),
  };
}
