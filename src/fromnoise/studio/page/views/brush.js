// The region to inpaint, painted over an image.
import { h, put } from "../dom.js";
import { encoded, imageData } from "../pixels.js";
import { Strokes } from "../strokes.js";

const KEPT = 100; // strokes that can be undone
const SIDE = 448; // pixels of the canvas, about

export class Brush {
  constructor(shape, words, changed) {
    const [, height, width] = shape;
    Object.assign(this, { shape, height, width, words, changed, before: [], mask: new Uint8Array(height * width) });
    this.scale = Math.max(1, Math.ceil(SIDE / Math.max(height, width)));
    this.canvas = h("canvas", { width: width * this.scale, height: height * this.scale, "aria-label": words.brush, "aria-description": words.brush_keys, id: "brush" });
    this.image = h("canvas", { width, height });
    this.hatch = hatched(this.canvas.getContext("2d"));
    const strokes = new Strokes(this.canvas, height, width, {
      begin: () => this.remember(), stroke: (from, to) => this.stroke(from, to), done: () => this.done(), moved: (hand) => put(this.said, words.hand(hand)),
    });
    this.canvas.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") { event.preventDefault(); this.undo(); }
    });
    this.said = h("p", { class: "quiet small", role: "status" });
    this.box = h("div", { class: "brush" }, h("p", { class: "quiet small" }, words.brush, " ", words.brush_keys), strokes.box, this.tools(), this.said);
    this.show();
    this.tell();
  }

  tools() {
    const { words } = this, least = Math.min(this.height, this.width);
    const value = h("b", {}), most = Math.max(3, Math.round(least / 2)), usual = Math.max(1, Math.round(least / 6));
    this.size = h("input", { type: "range", min: "1", max: String(most), step: "1", value: String(usual), oninput: () => put(value, this.size.value) });
    put(value, this.size.value);
    const press = (erasing) => { this.erasing = erasing; this.kinds.forEach((one, i) => one.setAttribute("aria-pressed", String((i === 1) === erasing))); };
    this.kinds = [words.paint, words.erase].map((text, i) => h("button", { type: "button", onclick: () => press(i === 1) }, text));
    press(false);
    this.back = h("button", { type: "button", onclick: () => this.undo() }, words.undo);
    this.empty = h("button", { type: "button", onclick: () => { this.remember(); this.mask.fill(0); this.done(); } }, words.clear);
    return h("div", { class: "tools" }, h("label", { class: "stack" }, h("span", {}, words.brush_size, " ", value), this.size),
      h("div", { class: "row", role: "group", "aria-label": words.brush_tools }, ...this.kinds, this.back, this.empty));
  }

  /** Lay the region over another image: base64 of its pixels. */
  over(pixels) {
    this.image.getContext("2d").putImageData(imageData(pixels, this.shape), 0, 0);
    this.show();
  }

  remember() {
    this.before.push(this.mask.slice());
    if (this.before.length > KEPT) this.before.shift();
  }

  undo() {
    if (!this.before.length) return;
    this.mask = this.before.pop();
    this.done();
  }

  /** All pixels whose centre is less than half the brush away from a line between two pixels. */
  stroke(from, to) {
    const at = ({ x, y }) => [Math.min(Math.max(Math.floor(x), 0), this.width - 1), Math.min(Math.max(Math.floor(y), 0), this.height - 1)];
    const [x, y] = at(from), [endX, endY] = at(to), [dx, dy] = [endX - x, endY - y], long = dx * dx + dy * dy || 1, reach = Number(this.size.value) / 2;
    for (let i = 0; i < this.mask.length; i++) {
      const [px, py] = [(i % this.width) - x, Math.floor(i / this.width) - y], along = Math.min(Math.max((px * dx + py * dy) / long, 0), 1);
      if (Math.hypot(px - along * dx, py - along * dy) <= reach) this.mask[i] = this.erasing ? 0 : 255;
    }
    this.show();
  }

  done() {
    this.show();
    this.tell();
    this.changed();
  }

  tell() {
    put(this.said, this.words.painted(this.count, this.mask.length));
  }

  /** How many pixels are painted. */
  get count() {
    return this.mask.reduce((sum, one) => sum + (one > 0), 0);
  }

  /** base64 of uint8 (H, W), 255 where to inpaint. */
  content() {
    return encoded(this.mask);
  }

  show() {
    const context = this.canvas.getContext("2d"), { scale, width, canvas } = this;
    context.imageSmoothingEnabled = false;
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(this.image, 0, 0, canvas.width, canvas.height);
    context.fillStyle = this.hatch;
    this.mask.forEach((one, i) => one && context.fillRect((i % width) * scale, Math.floor(i / width) * scale, scale, scale));
    this.back.disabled = !this.before.length;
    this.empty.disabled = !this.mask.includes(255);
  }
}

/** A pattern that is seen on any image, in either theme. */
function hatched(context) {
  const tile = h("canvas", { width: 10, height: 10 }), pen = tile.getContext("2d");
  pen.fillStyle = "#d4467fb8";
  pen.fillRect(0, 0, 10, 10);
  Object.assign(pen, { strokeStyle: "#ffd3e4", lineWidth: 2 });
  for (const shift of [-10, 0, 10]) {
    pen.moveTo(shift - 2, 12);
    pen.lineTo(shift + 12, -2);
  }
  pen.stroke();
  return context.createPattern(tile, "repeat");
}
