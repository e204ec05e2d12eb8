// An image to draw or to drop, of the model's own size; it leaves the page as plain pixels.
import { h } from "../dom.js";

export class Pad {
  constructor([channels, height, width], words, changed) {
    Object.assign(this, { channels, height, width, changed });
    this.canvas = h("canvas", { width, height, "aria-label": words.pad, role: "img" });
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
    this.clear();
    const file = h("input", { type: "file", accept: "image/*", "aria-label": words.file, onchange: () => file.files[0] && this.take(file.files[0]) });
    const clear = h("button", { type: "button", onclick: () => { this.clear(); changed(); } }, words.clear);
    this.box = h("div", { class: "pad" }, h("p", { class: "quiet small" }, words.pad), this.canvas, h("div", { class: "row" }, clear, file));
    this.canvas.onpointerdown = (event) => { this.canvas.setPointerCapture(event.pointerId); this.stroke(event, true); };
    this.canvas.onpointermove = (event) => { if (event.buttons) this.stroke(event, false); };
    this.canvas.onpointerup = () => changed();
    this.canvas.ondragover = (event) => event.preventDefault();
    this.canvas.ondrop = (event) => { event.preventDefault(); if (event.dataTransfer.files[0]) this.take(event.dataTransfer.files[0]); };
  }

  clear() {
    this.pen.fillStyle = "#000";
    this.pen.fillRect(0, 0, this.width, this.height);
  }

  stroke(event, first) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect(), { pen } = this;
    const x = ((event.clientX - left) / width) * this.width, y = ((event.clientY - top) / height) * this.height;
    Object.assign(pen, { strokeStyle: "#fff", lineCap: "round", lineJoin: "round", lineWidth: Math.max(1, this.width / 12) });
    pen.beginPath();
    pen.moveTo(first ? x : this.at[0], first ? y : this.at[1]);
    pen.lineTo(x, y);
    pen.stroke();
    this.at = [x, y];
  }

  /** Scale an image file into the pad; it is decoded here, and only its pixels are sent. */
  async take(file) {
    const image = await createImageBitmap(file).catch(() => null);
    if (!image) return;
    this.clear();
    this.pen.imageSmoothingQuality = "high";
    this.pen.drawImage(image, 0, 0, this.width, this.height);
    image.close();
    this.changed();
  }

  /** base64 of uint8 (H, W, C). */
  pixels() {
    const { data } = this.pen.getImageData(0, 0, this.width, this.height), { channels } = this, found = new Uint8Array(this.width * this.height * channels);
    for (let i = 0; i < this.width * this.height; i++) {
      const [r, g, b, a] = data.subarray(4 * i, 4 * i + 4);
      if (channels === 1) found[i] = Math.round(0.299 * r + 0.587 * g + 0.114 * b);
      else [r, g, b, a].slice(0, channels).forEach((value, c) => { found[i * channels + c] = value; });
    }
    let text = "";
    for (let i = 0; i < found.length; i += 8192) text += String.fromCharCode(...found.subarray(i, i + 8192));
    return btoa(text);
  }
}
