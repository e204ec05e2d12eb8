// An image to draw or to drop, of the model's own size. A file is read by the server, as the command line reads it.
import { ask } from "../api.js";
import { h, put } from "../dom.js";
import { imageData, shownPixels } from "../pixels.js";
import { Strokes } from "../strokes.js";

const MOST_BYTES = 20e6; // that the server takes

export class Pad {
  constructor(shape, words, place, signal, changed) {
    const [channels, height, width] = shape;
    Object.assign(this, { shape, channels, height, width, words, place, signal, changed });
    this.canvas = h("canvas", { width, height, "aria-label": words.pad, "aria-description": words.keys });
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
    this.clear();
    const strokes = new Strokes(this.canvas, height, width, { begin() {}, stroke: (from, to) => this.stroke(from, to), done: () => changed(), moved: () => {} });
    const file = h("input", { type: "file", accept: "image/*", "aria-label": words.file, onchange: () => file.files[0] && this.take(file.files[0]) });
    const clear = h("button", { type: "button", onclick: () => { this.clear(); changed(); } }, words.clear);
    this.said = h("p", { class: "small", role: "status" });
    this.box = h("div", { class: "pad" }, h("p", { class: "quiet small" }, words.pad), strokes.box, h("div", { class: "row" }, clear, file), this.said);
    takesFiles(this.canvas, (dropped) => this.take(dropped));
  }

  clear() {
    this.pen.fillStyle = "#000";
    this.pen.fillRect(0, 0, this.width, this.height);
    this.given = null;
  }

  stroke(from, to) {
    const { pen } = this;
    Object.assign(pen, { strokeStyle: "#fff", lineCap: "round", lineJoin: "round", lineWidth: Math.max(1, this.width / 12) });
    pen.beginPath();
    pen.moveTo(from.x, from.y);
    pen.lineTo(to.x, to.y);
    pen.stroke();
    this.given = null;
  }

  async take(file) {
    const { words, signal } = this;
    this.said.classList.remove("wrong");
    try {
      if (file.size > MOST_BYTES) throw new Error(words.too_large(MOST_BYTES / 1e6));
      const { pixels, size, cropped } = await ask(`${this.place}/image`, { signal, file });
      this.pen.putImageData(imageData(pixels, this.shape), 0, 0);
      this.given = pixels;
      put(this.said, size[0] === this.height && size[1] === this.width ? "" : words.resized(size.join("x"), `${this.height}x${this.width}`, cropped));
      this.changed();
    } catch (error) {
      if (signal.aborted) return;
      this.said.classList.add("wrong");
      put(this.said, error.message);
    }
  }

  /** base64 of uint8 (H, W, C): what the server has read, or what is drawn. */
  pixels() {
    return this.given || shownPixels(this.pen.getImageData(0, 0, this.width, this.height), this.channels);
  }
}

/** Let files be dropped on an element. */
export function takesFiles(element, take) {
  element.ondragover = (event) => event.preventDefault();
  element.ondrop = (event) => { event.preventDefault(); if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]); };
}
