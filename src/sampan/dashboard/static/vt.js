// A terminal's screen without a display: text with VT100 and xterm sequences in, rows of cells out.
// Sources: ECMA-48, DEC VT510 reference (parser states), xterm control sequences.

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u;
const JOINS = /[\u0300-\u036f\u200b-\u200f\u20d0-\u20ff\ufe00-\ufe0f]/;
const LINES = "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·"; // DEC special graphics, from ` on
export const SCROLLBACK = 1000;
const LONGEST = 4096; // of a sequence that does not end
const PLAIN = Object.freeze({ fg: "", bg: "", bold: 0, dim: 0, italic: 0, under: 0, inverse: 0, hidden: 0, strike: 0 });

const blank = (style) => ({ ch: " ", style: style.bg ? { ...PLAIN, bg: style.bg } : PLAIN });

export class Screen {
  /** `reply(text)` carries what the terminal answers to questions. */
  constructor(columns, rows, reply) {
    this.columns = columns;
    this.rows = rows;
    this.reply = reply;
    this.reset();
  }

  reset() {
    this.style = PLAIN;
    this.lines = this.page();
    this.scrollback = [];
    this.x = this.y = this.top = 0;
    this.bottom = this.rows - 1;
    this.saved = null;
    this.other = null;
    this.wrapped = false;
    this.modes = { wrap: true, cursor: true, keys: false, paste: false, insert: false, origin: false };
    this.sets = ["B", "B"];
    this.shift = 0;
    this.last = " ";
    this.title = "";
    this.state = "text";
    this.held = "";
  }

  row() {
    return Array.from({ length: this.columns }, () => blank(this.style));
  }

  page() {
    return Array.from({ length: this.rows }, () => this.row());
  }

  resize(columns, rows) {
    if (columns === this.columns && rows === this.rows) return;
    this.columns = columns;
    const fit = (lines) => {
      for (const line of lines) {
        while (line.length < columns) line.push(blank(PLAIN));
        line.length = columns;
      }
      while (lines.length < rows) lines.push(this.row());
      return lines;
    };
    while (this.lines.length > rows) {
      if (this.y < this.lines.length - 1) this.lines.pop();
      else {
        this.keepLine(this.lines.shift());
        this.y -= 1;
      }
    }
    this.rows = rows;
    fit(this.lines);
    if (this.other) {
      this.other.lines.length = Math.min(this.other.lines.length, rows);
      fit(this.other.lines);
      this.other.y = Math.min(this.other.y, rows - 1);
    }
    this.top = 0;
    this.bottom = rows - 1;
    this.x = Math.min(this.x, columns - 1);
    this.y = Math.max(0, Math.min(this.y, rows - 1));
    this.wrapped = false;
  }

  keepLine(line) {
    if (this.other) return;
    this.scrollback.push(line);
    if (this.scrollback.length > SCROLLBACK) this.scrollback.shift();
  }

  write(text) {
    for (const ch of text) {
      const code = ch.codePointAt(0);
      if (this.state === "text" && code >= 32 && code !== 127) this.put(ch);
      else this.step(ch, code);
    }
  }

  // --- the parser

  step(ch, code) {
    if (this.state === "osc") return this.osc(ch, code);
    if (code === 24 || code === 26) return void (this.state = "text");
    if (code === 27) {
      this.state = "escape";
      this.held = "";
      return;
    }
    if (code < 32) return this.control(code);
    if (this.state === "escape") return this.escape(ch);
    if (this.state === "set") {
      this.sets[this.held === "(" ? 0 : 1] = ch;
      this.state = "text";
    } else if (this.state === "hash") {
      if (ch === "8") this.lines.forEach((line) => line.forEach((_, at) => (line[at] = { ch: "E", style: PLAIN })));
      this.state = "text";
    } else if (this.state === "csi") {
      if (code < 64) {
        if (this.held.length < LONGEST) this.held += ch;
      } else {
        this.state = "text";
        this.csi(ch, this.held);
      }
    }
  }

  osc(ch, code) {
    if (code === 7 || (ch === "\\" && this.held.endsWith("\x1b"))) {
      const text = this.held.replace(/\x1b$/, "");
      if (/^[02];/.test(text)) this.title = text.slice(2);
      this.state = "text";
    } else if (this.held.length < LONGEST) this.held += ch;
    else this.state = "text";
  }

  control(code) {
    if (code === 8) this.x = Math.max(0, this.x - 1);
    else if (code === 9) this.x = Math.min(this.columns - 1, (this.x | 7) + 1);
    else if (code >= 10 && code <= 12) this.down();
    else if (code === 13) this.x = 0;
    else if (code === 14 || code === 15) this.shift = 15 - code;
    if (code !== 7) this.wrapped = false;
  }

  escape(ch) {
    this.state = "text";
    if (ch === "[") this.enter("csi", "");
    else if (ch === "]" || ch === "P" || ch === "_" || ch === "^") this.enter("osc", ch === "]" ? "" : ch);
    else if (ch === "(" || ch === ")") this.enter("set", ch);
    else if (ch === "#") this.enter("hash", "");
    else if (ch === "7") this.save();
    else if (ch === "8") this.restore();
    else if (ch === "D") this.down();
    else if (ch === "E") (this.down(), (this.x = 0));
    else if (ch === "M") this.up();
    else if (ch === "c") this.reset();
  }

  enter(state, held) {
    this.state = state;
    this.held = held;
  }

  csi(final, held) {
    const mark = /^[<=>?]/.test(held) ? held[0] : "";
    const numbers = held
      .replace(/^[<=>?]/, "")
      .split(/[;:]/)
      .map((part) => parseInt(part, 10) || 0);
    const n = Math.max(1, numbers[0]);
    if (mark === "?" && (final === "h" || final === "l")) return numbers.forEach((m) => this.mode(m, final === "h"));
    if (mark === ">" && final === "c") return this.reply("\x1b[>0;0;0c");
    if (mark || /[ !"'$]/.test(held)) return;
    this.wrapped = final === "m" ? this.wrapped : false;
    const act = {
      A: () => (this.y = Math.max(this.y >= this.top ? this.top : 0, this.y - n)),
      B: () => (this.y = Math.min(this.y <= this.bottom ? this.bottom : this.rows - 1, this.y + n)),
      C: () => (this.x = Math.min(this.columns - 1, this.x + n)),
      D: () => (this.x = Math.max(0, this.x - n)),
      E: () => ((this.y = Math.min(this.bottom, this.y + n)), (this.x = 0)),
      F: () => ((this.y = Math.max(this.top, this.y - n)), (this.x = 0)),
      G: () => (this.x = Math.min(this.columns, n) - 1),
      d: () => (this.y = Math.min(this.rows, n) - 1),
      H: () => this.move(n - 1, Math.max(1, numbers[1] || 1) - 1),
      J: () => this.erase(numbers[0]),
      K: () => this.eraseLine(numbers[0]),
      L: () => this.shiftLines(this.y, n, "insert"),
      M: () => this.shiftLines(this.y, n, "delete"),
      S: () => this.shiftLines(this.top, n, "delete"),
      T: () => this.shiftLines(this.top, n, "insert"),
      P: () => (this.line().splice(this.x, n), this.refill()),
      "@": () => (this.line().splice(this.x, 0, ...this.row().slice(0, n)), this.refill()),
      X: () => this.clear(this.y, this.x, this.x + n),
      b: () => [...Array(Math.min(n, this.columns * this.rows))].forEach(() => this.put(this.last)),
      m: () => this.paint(numbers),
      r: () => this.region(numbers),
      s: () => this.save(),
      u: () => this.restore(),
      h: () => numbers[0] === 4 && (this.modes.insert = true),
      l: () => numbers[0] === 4 && (this.modes.insert = false),
      c: () => this.reply("\x1b[?6c"),
      n: () => this.reply(numbers[0] === 6 ? `\x1b[${this.y + 1};${this.x + 1}R` : "\x1b[0n"),
    };
    act.f = act.H;
    act["`"] = act.G;
    act.a = act.C;
    act.e = act.B;
    act[final]?.();
  }

  mode(number, on) {
    if (number === 1) this.modes.keys = on;
    else if (number === 6) ((this.modes.origin = on), this.move(0, 0));
    else if (number === 7) this.modes.wrap = on;
    else if (number === 25) this.modes.cursor = on;
    else if (number === 2004) this.modes.paste = on;
    else if (number === 47 || number === 1047 || number === 1049) this.alternate(on);
  }

  alternate(on) {
    if (on === Boolean(this.other)) return;
    if (on) {
      this.other = { lines: this.lines, x: this.x, y: this.y, style: this.style };
      this.lines = this.page();
    } else {
      Object.assign(this, this.other);
      this.other = null;
      this.x = Math.min(this.x, this.columns - 1);
    }
    this.top = 0;
    this.bottom = this.rows - 1;
  }

  paint(numbers) {
    let style = { ...this.style };
    for (let at = 0; at < numbers.length; at += 1) {
      const n = numbers[at];
      if (n === 0) style = { ...PLAIN };
      else if (n === 38 || n === 48) {
        const key = n === 38 ? "fg" : "bg";
        if (numbers[at + 1] === 5) ((style[key] = indexed(numbers[at + 2])), (at += 2));
        else if (numbers[at + 1] === 2)
          ((style[key] = `rgb(${numbers.slice(at + 2, at + 5).map((part) => part & 255)})`), (at += 4));
      } else if (n >= 30 && n <= 37) style.fg = String(n - 30);
      else if (n >= 40 && n <= 47) style.bg = String(n - 40);
      else if (n >= 90 && n <= 97) style.fg = String(n - 82);
      else if (n >= 100 && n <= 107) style.bg = String(n - 92);
      else if (n === 39) style.fg = "";
      else if (n === 49) style.bg = "";
      else if (n === 22) style.bold = style.dim = 0;
      else {
        const names = { 1: "bold", 2: "dim", 3: "italic", 4: "under", 7: "inverse", 8: "hidden", 9: "strike" };
        if (names[n]) style[names[n]] = 1;
        else if (names[n - 20]) style[names[n - 20]] = 0;
      }
    }
    this.style = Object.freeze(style);
  }

  // --- the screen

  line() {
    return this.lines[this.y];
  }

  refill() {
    const line = this.line();
    while (line.length < this.columns) line.push(blank(this.style));
    line.length = this.columns;
  }

  put(ch) {
    if (this.sets[this.shift] === "0" && ch >= "`" && ch <= "~") ch = LINES[ch.charCodeAt(0) - 96];
    if (JOINS.test(ch)) {
      const before = this.line()[Math.max(0, this.x - 1)];
      if (before && before.ch.length < 8) before.ch += ch;
      return;
    }
    const width = WIDE.test(ch) ? 2 : 1;
    if (this.wrapped || (width === 2 && this.x === this.columns - 1 && this.modes.wrap)) {
      this.x = 0;
      this.down();
    }
    this.wrapped = false;
    const line = this.line();
    if (this.modes.insert) line.splice(this.x, 0, ...this.row().slice(0, width));
    line[this.x] = { ch, style: this.style };
    if (width === 2 && this.x + 1 < this.columns) line[this.x + 1] = { ch: "", style: this.style };
    if (line.length > this.columns) line.length = this.columns;
    this.last = ch;
    this.x += width;
    if (this.x >= this.columns) {
      this.x = this.columns - 1;
      this.wrapped = this.modes.wrap;
    }
  }

  down() {
    if (this.y === this.bottom) this.shiftLines(this.top, 1, "delete");
    else if (this.y < this.rows - 1) this.y += 1;
  }

  up() {
    if (this.y === this.top) this.shiftLines(this.top, 1, "insert");
    else if (this.y > 0) this.y -= 1;
  }

  shiftLines(from, count, how) {
    if (from < this.top || from > this.bottom) return;
    for (let left = Math.min(count, this.bottom - from + 1); left > 0; left -= 1) {
      const [gone] = this.lines.splice(how === "insert" ? this.bottom : from, 1);
      this.lines.splice(how === "insert" ? from : this.bottom, 0, this.row());
      if (how === "delete" && from === 0 && this.top === 0) this.keepLine(gone);
    }
  }

  move(row, column) {
    const first = this.modes.origin ? this.top : 0;
    this.y = Math.min(this.modes.origin ? this.bottom : this.rows - 1, first + row);
    this.x = Math.min(this.columns - 1, column);
  }

  clear(y, from, to) {
    for (let x = Math.max(0, from); x < Math.min(to, this.columns); x += 1) this.lines[y][x] = blank(this.style);
  }

  eraseLine(how) {
    this.clear(this.y, how ? 0 : this.x, how === 1 ? this.x + 1 : this.columns);
  }

  erase(how) {
    if (how === 3) this.scrollback = [];
    if (how > 2) return;
    this.eraseLine(how);
    for (let y = 0; y < this.rows; y += 1) {
      if (how === 2 || (how === 0 && y > this.y) || (how === 1 && y < this.y)) this.clear(y, 0, this.columns);
    }
  }

  region(numbers) {
    const top = Math.max(1, numbers[0]) - 1;
    const bottom = Math.min(this.rows, numbers[1] || this.rows) - 1;
    if (top >= bottom) return;
    this.top = top;
    this.bottom = bottom;
    this.move(0, 0);
  }

  save() {
    this.saved = { x: this.x, y: this.y, style: this.style, sets: [...this.sets], shift: this.shift };
  }

  restore() {
    Object.assign(this, this.saved || { x: 0, y: 0, style: PLAIN });
    this.x = Math.min(this.x, this.columns - 1);
    this.y = Math.min(this.y, this.rows - 1);
  }

  /** The text of the whole screen, for tests and for people who cannot see it. */
  text() {
    return this.lines
      .map((line) =>
        line
          .map((cell) => cell.ch)
          .join("")
          .trimEnd(),
      )
      .join("\n")
      .trimEnd();
  }
}

/** Colour `n` of 256: a number below 16 stays a name of the theme. */
function indexed(n = 0) {
  if (n < 16) return String(n);
  if (n > 231) return `rgb(${Array(3).fill(8 + (n - 232) * 10)})`;
  const level = (part) => (part ? 55 + part * 40 : 0);
  return `rgb(${[Math.floor((n - 16) / 36), Math.floor((n - 16) / 6) % 6, (n - 16) % 6].map(level)})`;
}
