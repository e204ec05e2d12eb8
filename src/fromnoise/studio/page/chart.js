// A chart of lines and bands on a canvas: read by pointer or keys, zoomed by dragging, with a data table behind.
import { h, number, short } from "./dom.js";

const LEFT = 52, RIGHT = 10, TOP = 8, BOTTOM = 26;
const ROWS = 200;

/** Colours of the page as the canvas needs them: `--curve-1` becomes rgb(...). */
function resolved(box, name) {
  const probe = h("span", { hidden: true });
  probe.style.color = `var(${name})`;
  box.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) found.push(Math.abs(at) < step * 1e-6 ? 0 : at);
  return found;
}

function logTicks(low, high) {
  const found = [], few = Math.log10(high / low) > 1.5 ? [1, 3] : [1, 1.5, 2, 3, 5, 7];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const one of few) if (one * 10 ** power >= low && one * 10 ** power <= high) found.push(one * 10 ** power);
  }
  return found.length > 1 ? found : [low, high];
}

/** A chart in `box`. `words` are the page's; `zoom` gets the ends of what was chosen, or null twice for all. */
export class Chart {
  constructor(box, { name, words, zoom, signal, low = false, format = number }) {
    Object.assign(this, { box, name, words, zoom, format, series: [], x: "", log: false, at: null, dragged: null });
    box.className = `chart${low ? " low" : ""}`;
    this.legend = h("ul", { class: "legend" });
    this.canvas = h("canvas", { tabindex: "0", role: "img", "aria-label": `${name}. ${words.chart_help}` });
    this.tip = h("div", { class: "tip", hidden: true });
    this.reset = h("button", { type: "button", class: "reset", hidden: true, onclick: () => this.chose(null, null) }, words.reset);
    this.table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${name}: ${words.data}` });
    const behind = h("details", { ontoggle: () => behind.open && this.fill() }, h("summary", {}, words.data), this.table);
    this.behind = behind;
    box.replaceChildren(this.legend, h("div", { class: "chart-area" }, this.canvas), this.tip, this.reset, behind);
    this.listen();
    const watcher = new ResizeObserver(() => this.draw());
    watcher.observe(this.canvas);
    signal.addEventListener("abort", () => watcher.disconnect());
    document.addEventListener("colours", () => this.draw(), { signal });
  }

  listen() {
    const { canvas } = this, place = (event) => event.clientX - canvas.getBoundingClientRect().left;
    canvas.onpointermove = (event) => { this.read(this.value(place(event))); if (this.dragged !== null) this.draw(place(event)); };
    canvas.onpointerdown = (event) => { if (event.pointerType === "mouse") { this.dragged = place(event); canvas.setPointerCapture(event.pointerId); } };
    canvas.onpointerup = (event) => {
      const from = this.dragged, to = place(event);
      this.dragged = null;
      if (from !== null && Math.abs(to - from) > 6) this.chose(this.value(Math.min(from, to)), this.value(Math.max(from, to)));
      else this.draw();
    };
    canvas.onpointerleave = () => this.read(null);
    canvas.onblur = () => this.read(null);
    canvas.ondblclick = () => this.chose(null, null);
    canvas.onkeydown = (event) => this.key(event);
  }

  /** By keys: read on, zoom, show all. */
  key(event) {
    const points = this.places(), [first, last] = this.span;
    if (!points.length) return;
    const here = Math.max(0, points.findIndex((x) => x >= (this.at ?? points[0])));
    const move = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: points.length - 1 }[event.key];
    if (move !== undefined) this.read(points[Math.min(Math.max(move, 0), points.length - 1)], true);
    else if (event.key === "+" || event.key === "-") {
      const middle = this.at ?? (first + last) / 2, half = ((last - first) / 2) * (event.key === "+" ? 0.5 : 2);
      this.chose(middle - half, middle + half);
    } else if (event.key === "Escape") this.chose(null, null);
    else return;
    event.preventDefault();
  }

  chose(first, last) {
    this.reset.hidden = first === null;
    this.zoom?.(first, last);
  }

  /** Show series of {name, colour, x, y, low, high, faint, points, width}. `x`: what the axis counts. */
  show(series, { x, log = false } = {}) {
    this.series = series.filter((one) => one.x.length);
    Object.assign(this, { x, log });
    this.legend.replaceChildren(...this.series.filter((one) => one.name).map((one) => {
      const key = h("span", { class: "key" });
      key.style.background = `var(${one.colour})`;
      return h("li", {}, key, one.name);
    }));
    this.draw();
    if (this.behind.open) this.fill();
  }

  places() {
    return [...new Set(this.series.flatMap((one) => one.x))].sort((a, b) => a - b);
  }

  measure() {
    const xs = this.series.flatMap((one) => [one.x[0], one.x[one.x.length - 1]]);
    const ys = this.series.flatMap((one) => [...one.y, ...(one.low || []), ...(one.high || [])])
      .filter((y) => Number.isFinite(y) && (!this.log || y > 0));
    this.span = xs.length ? [Math.min(...xs), Math.max(...xs)] : [0, 1];
    if (this.span[0] === this.span[1]) this.span[1] += 1;
    let low = ys.reduce((a, b) => Math.min(a, b), Infinity), high = ys.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!ys.length) [low, high] = this.log ? [0.1, 1] : [0, 1];
    if (this.log) { low /= 1.06; high *= 1.06; if (high / low < 1.2) { low /= 1.1; high *= 1.1; } }
    else { const air = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1; low = low >= 0 && low < air * 8 ? 0 : low - air; high += air; }
    this.range = [low, high];
  }

  value(place) {
    const [first, last] = this.span;
    return first + ((place - LEFT) / Math.max(1, this.width - LEFT - RIGHT)) * (last - first);
  }

  px(x) {
    const [first, last] = this.span;
    return LEFT + ((x - first) / (last - first)) * (this.width - LEFT - RIGHT);
  }

  py(y) {
    const [low, high] = this.range, part = this.log ? Math.log(y / low) / Math.log(high / low) : (y - low) / (high - low);
    return this.height - BOTTOM - part * (this.height - TOP - BOTTOM);
  }

  draw(dragging = null) {
    const ratio = devicePixelRatio || 1, { canvas } = this;
    [this.width, this.height] = [canvas.clientWidth, canvas.clientHeight];
    if (!this.width) return;
    canvas.width = Math.round(this.width * ratio);
    canvas.height = Math.round(this.height * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    this.measure();
    this.axes(pen);
    pen.save();
    pen.beginPath();
    pen.rect(LEFT - 4, TOP - 4, this.width - LEFT - RIGHT + 8, this.height - TOP - BOTTOM + 8);
    pen.clip();
    for (const one of this.series) this.line(pen, one, resolved(this.box, one.colour));
    if (this.at !== null) { pen.fillStyle = resolved(this.box, "--quiet"); pen.fillRect(this.px(this.at), TOP, 1, this.height - TOP - BOTTOM); }
    if (dragging !== null && this.dragged !== null) {
      pen.globalAlpha = 0.15;
      pen.fillStyle = resolved(this.box, "--accent");
      pen.fillRect(this.dragged, TOP, dragging - this.dragged, this.height - TOP - BOTTOM);
    }
    pen.restore();
  }

  axes(pen) {
    const [first, last] = this.span, [low, high] = this.range;
    pen.font = `12px ${getComputedStyle(this.box).fontFamily}`;
    pen.fillStyle = resolved(this.box, "--quiet");
    pen.strokeStyle = resolved(this.box, "--rule");
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const y of this.log ? logTicks(low, high) : ticks(low, high, Math.max(2, this.height / 60))) {
      const at = Math.round(this.py(y)) + 0.5;
      pen.beginPath(); pen.moveTo(LEFT, at); pen.lineTo(this.width - RIGHT, at); pen.stroke();
      pen.fillText(this.log ? Number(y.toPrecision(2)).toString() : short(Number(y.toPrecision(6))), LEFT - 6, at);
    }
    pen.textBaseline = "top";
    pen.textAlign = "center";
    for (const x of ticks(first, last, Math.max(2, this.width / 80))) {
      const at = this.px(x);
      if (at < this.width - RIGHT - 14 && at > LEFT - 1) pen.fillText(short(x), at, this.height - BOTTOM + 7);
    }
    pen.textAlign = "right";
  }

  line(pen, one, colour) {
    const seen = (y) => Number.isFinite(y) && (!this.log || y > 0);
    pen.fillStyle = pen.strokeStyle = colour;
    if (one.low) {
      const there = one.x.map((_, i) => i).filter((i) => seen(one.low[i]) && seen(one.high[i]));
      pen.globalAlpha = 0.22;
      pen.lineWidth = 1;
      pen.beginPath();
      there.forEach((i, n) => pen[n ? "lineTo" : "moveTo"](this.px(one.x[i]), this.py(one.high[i])));
      there.reverse().forEach((i) => pen.lineTo(this.px(one.x[i]), this.py(one.low[i])));
      pen.fill();
      pen.stroke();
    }
    pen.globalAlpha = 1;
    pen.lineWidth = one.width || 1.8;
    pen.lineJoin = "round";
    let begun = false;
    pen.beginPath();
    one.y.forEach((y, i) => {
      if (seen(y)) { pen[begun ? "lineTo" : "moveTo"](this.px(one.x[i]), this.py(y)); begun = true; } else begun = false;
    });
    pen.stroke();
    if (one.points || one.x.length === 1) one.y.forEach((y, i) => {
      if (seen(y)) { pen.beginPath(); pen.arc(this.px(one.x[i]), this.py(y), 3, 0, 7); pen.fill(); }
    });
  }

  /** Show the values nearest to `x`; spoken too where keys asked. */
  read(x, spoken = false) {
    if (!this.series.length || !this.span) return;
    this.at = x === null ? null : Math.min(Math.max(x, this.span[0]), this.span[1]);
    this.tip.hidden = x === null;
    this.draw();
    if (x === null) return;
    const rows = this.series.filter((one) => one.name).map((one) => {
      const i = one.x.reduce((best, value, n) => (Math.abs(value - this.at) < Math.abs(one.x[best] - this.at) ? n : best), 0);
      return [one, this.format(one.y[i])];
    });
    this.tip.replaceChildren(h("div", { class: "quiet" }, `${Math.round(this.at).toLocaleString()} ${this.x}`), ...rows.map(([one, text]) => {
      const key = h("span", { class: "key" });
      key.style.background = `var(${one.colour})`;
      return h("div", {}, key, `${one.name} `, h("b", {}, text));
    }));
    const left = this.px(this.at) + 12, wide = this.tip.offsetWidth;
    this.tip.style.transform = `translate(${left + wide > this.width ? this.px(this.at) - wide - 12 : left}px, 2rem)`;
    if (spoken) this.canvas.setAttribute("aria-label", `${this.name}. ${Math.round(this.at)} ${this.x}: ${rows.map(([one, text]) => `${one.name} ${text}`).join(", ")}`);
  }

  fill() {
    const named = this.series.filter((one) => one.name), all = this.places(), every = Math.max(1, Math.ceil(all.length / ROWS));
    const columns = named.map((one) => new Map(one.x.map((x, i) => [x, one.y[i]])));
    const rows = all.filter((x, i) => i % every === 0 || i === all.length - 1 || columns.some((column) => column.has(x) && column.size < ROWS));
    this.table.replaceChildren(h("table", {},
      h("caption", { class: "unseen" }, this.name),
      h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "number" }, this.x), ...named.map((one) => h("th", { scope: "col", class: "number" }, one.name)))),
      h("tbody", {}, ...rows.map((x) => h("tr", {}, h("th", { scope: "row", class: "number" }, Math.round(x).toLocaleString()),
        ...columns.map((column) => h("td", { class: "number" }, column.has(x) ? this.format(column.get(x)) : ""))))),
    ));
  }
}
