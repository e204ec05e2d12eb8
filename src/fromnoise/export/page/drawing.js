// A drawing by mouse, finger, pen or keyboard: pixels that are kept, and pixels that are to be completed.
import { pixels } from "./sampler.js";

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** values: as x, (C, H, W) in the network's range. open: 1 where a pixel is to be completed. onDone: called after a stroke. */
export class Drawing {
  constructor(canvas, about) {
    Object.assign(this, { canvas, about, ink: [], brush: 1, wiping: false, onDone: () => {}, onMove: () => {} });
    [this.channels, this.height, this.width] = about.shape;
    this.area = this.height * this.width;
    this.scale = Math.ceil(448 / Math.max(this.height, this.width));
    this.hand = { x: Math.floor(this.width / 2), y: Math.floor(this.height / 2), down: false };
    canvas.width = this.width * this.scale;
    canvas.height = this.height * this.scale;
    this.hatch = hatched(canvas.getContext("2d"));
    this.clear();
    this.byPointer();
    this.byKeys();
  }

  get complete() {
    return !this.open.includes(1);
  }

  clear() {
    this.take(new Float32Array(this.channels * this.area).fill(this.about.low), new Uint8Array(this.area).fill(1));
  }

  take(values, open = new Uint8Array(this.area)) {
    Object.assign(this, { values: Float32Array.from(values), open });
    this.show();
  }

  /** Everything below the middle is to be completed. */
  wipeLowerHalf() {
    this.open.fill(1, Math.floor(this.height / 2) * this.width);
    this.show();
  }

  /** Dark becomes light where something is kept; alpha stays. */
  invert() {
    const colours = Math.min(this.channels, 3) * this.area;
    this.take(this.values.map((v, i) => (i < colours ? this.about.low + this.about.high - v : v)), this.open);
  }

  /** A picture, scaled to cover the image and cropped at its centre; all of it is kept. */
  async load(file) {
    const picture = await createImageBitmap(file), { width, height, area, channels } = this;
    const small = Object.assign(document.createElement("canvas"), { width, height }), context = small.getContext("2d");
    const scale = Math.max(width / picture.width, height / picture.height);
    const [w, h] = [picture.width * scale, picture.height * scale];
    if (channels < 4) {
      context.fillStyle = "#fff";
      context.fillRect(0, 0, width, height);
    }
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
    const { data } = context.getImageData(0, 0, width, height), values = new Float32Array(channels * area);
    for (let i = 0; i < area; i++) {
      const [r, g, b] = data.subarray(4 * i);
      for (let c = 0; c < channels; c++) {
        const level = channels === 1 ? 0.299 * r + 0.587 * g + 0.114 * b : data[4 * i + c];
        values[c * area + i] = this.about.low + (level / 255) * (this.about.high - this.about.low);
      }
    }
    this.take(values);
  }

  /** The brush along a line, in pixels of the image: the rim mixes with what is kept there already. */
  stroke(from, to) {
    const [dx, dy] = [to.x - from.x, to.y - from.y], long = dx * dx + dy * dy || 1;
    for (let i = 0; i < this.area; i++) {
      const [px, py] = [(i % this.width) + 0.5 - from.x, Math.floor(i / this.width) + 0.5 - from.y];
      const along = Math.min(Math.max((px * dx + py * dy) / long, 0), 1);
      const cover = this.brush / 2 + 0.5 - Math.hypot(px - along * dx, py - along * dy);
      if (this.wiping && cover >= 0.5) this.open[i] = 1;
      if (!this.wiping && cover > (this.open[i] ? 0.499 : 0)) this.mix(i, Math.min(cover, 1));
    }
    this.show();
  }

  mix(i, share) {
    const part = this.open[i] ? 1 : share;
    for (let c = 0; c < this.channels; c++) {
      const at = c * this.area + i;
      this.values[at] += part * ((c < 3 ? this.ink[c] : this.about.high) - this.values[at]);
    }
    this.open[i] = 0;
  }

  byPointer() {
    const { canvas } = this;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return { x: ((event.clientX - box.left) / box.width) * this.width, y: ((event.clientY - box.top) / box.height) * this.height };
    };
    canvas.onpointerdown = (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      this.last = place(event);
      this.stroke(this.last, this.last);
    };
    canvas.onpointermove = (event) => {
      if (!this.last) return;
      const all = event.getCoalescedEvents?.() || [];
      for (const one of all.length ? all : [event]) {
        const here = place(one);
        this.stroke(this.last, here);
        this.last = here;
      }
    };
    canvas.onpointerup = canvas.onpointercancel = () => {
      if (this.last) this.onDone();
      this.last = null;
    };
  }

  byKeys() {
    this.canvas.onkeydown = (event) => {
      const step = STEPS[event.key], { hand } = this, from = centre(hand);
      if (step) {
        hand.x = Math.min(Math.max(hand.x + step[0], 0), this.width - 1);
        hand.y = Math.min(Math.max(hand.y + step[1], 0), this.height - 1);
      } else if (event.key === " " || (event.key === "Escape" && hand.down)) {
        hand.down = !hand.down;
      } else {
        return;
      }
      event.preventDefault();
      if (hand.down) this.stroke(from, centre(hand));
      else this.show();
      this.onMove();
      if (!step && !hand.down) this.onDone();
    };
    this.canvas.onfocus = () => this.show();
    this.canvas.onblur = () => {
      const drew = this.hand.down;
      this.hand.down = false;
      this.show();
      if (drew) this.onDone();
    };
  }

  show() {
    const context = this.canvas.getContext("2d"), { scale, width } = this;
    paintScaled(context, this.about, this.values, scale);
    context.fillStyle = this.hatch;
    this.open.forEach((open, i) => open && context.fillRect((i % width) * scale, Math.floor(i / width) * scale, scale, scale));
    if (!this.canvas.matches(":focus-visible")) return;
    for (const [colour, grow] of [["#000", 1], ["#fff", -1]]) {
      context.strokeStyle = colour;
      context.lineWidth = 2;
      context.strokeRect(this.hand.x * scale - grow, this.hand.y * scale - grow, scale + 2 * grow, scale + 2 * grow);
    }
  }
}

const centre = ({ x, y }) => ({ x: x + 0.5, y: y + 0.5 });

function paintScaled(context, about, values, scale) {
  const small = document.createElement("canvas");
  [, small.height, small.width] = about.shape;
  small.getContext("2d").putImageData(pixels(about, values), 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, small.width * scale, small.height * scale);
}

/** The pattern of what is to be completed: neither black nor white, in either theme. */
function hatched(context) {
  const tile = Object.assign(document.createElement("canvas"), { width: 8, height: 8 }), pen = tile.getContext("2d");
  pen.fillStyle = "#7d8794";
  pen.fillRect(0, 0, 8, 8);
  pen.strokeStyle = "#97a1ae";
  pen.lineWidth = 2;
  for (const shift of [-8, 0, 8]) {
    pen.moveTo(shift - 2, 10);
    pen.lineTo(shift + 10, -2);
  }
  pen.stroke();
  return context.createPattern(tile, "repeat");
}
