// Strokes over a canvas by mouse, finger, pen or keyboard, in pixels of the image that it shows.
import { h } from "./dom.js";

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** on: begin(), stroke(from, to), done() for each stroke; moved(hand) when the keys have moved the hand. */
export class Strokes {
  constructor(canvas, height, width, on) {
    Object.assign(this, { canvas, height, width, on, at: null, hand: { x: width >> 1, y: height >> 1, down: false } });
    for (const [name, value] of Object.entries({ tabindex: "0", role: "application" })) canvas.setAttribute(name, value);
    this.mark = h("span", { class: "hand", "aria-hidden": "true" });
    this.box = h("div", { class: "strokes" }, canvas, this.mark);
    this.byPointer();
    this.byKeys();
    this.place();
  }

  byPointer() {
    const { canvas, on } = this;
    const place = ({ clientX, clientY }) => {
      const box = canvas.getBoundingClientRect();
      return { x: ((clientX - box.left) / box.width) * this.width, y: ((clientY - box.top) / box.height) * this.height };
    };
    canvas.onpointerdown = (event) => {
      if (event.button || this.at) return;
      canvas.setPointerCapture(event.pointerId);
      this.pointer = event.pointerId;
      this.at = place(event);
      on.begin();
      on.stroke(this.at, this.at);
    };
    canvas.onpointermove = (event) => {
      if (!this.at || event.pointerId !== this.pointer) return;
      const all = event.getCoalescedEvents?.() || [];
      for (const one of all.length ? all : [event]) {
        const to = place(one);
        on.stroke(this.at, to);
        this.at = to;
      }
    };
    canvas.onpointerup = canvas.onpointercancel = (event) => {
      if (!this.at || event.pointerId !== this.pointer) return;
      this.at = null;
      on.done();
    };
  }

  byKeys() {
    const { canvas, on, hand } = this, centre = () => ({ x: hand.x + 0.5, y: hand.y + 0.5 });
    const lift = () => { if (hand.down) { hand.down = false; on.done(); } };
    canvas.addEventListener("keydown", (event) => {
      const step = STEPS[event.key], from = centre(), draws = event.key === " " || event.key === "Enter";
      if (event.ctrlKey || event.metaKey || event.altKey || !(step || draws || (event.key === "Escape" && hand.down))) return;
      event.preventDefault();
      if (step) {
        hand.x = Math.min(Math.max(hand.x + step[0], 0), this.width - 1);
        hand.y = Math.min(Math.max(hand.y + step[1], 0), this.height - 1);
        if (hand.down) on.stroke(from, centre());
      } else if (hand.down) {
        lift();
      } else {
        hand.down = true;
        on.begin();
        on.stroke(from, from);
      }
      this.place();
      on.moved(hand);
    });
    canvas.onblur = lift;
  }

  /** Put the mark where the hand is. */
  place() {
    const part = (at, of) => `${(100 * at) / of}%`, { style } = this.mark;
    [style.left, style.top, style.width, style.height] = [part(this.hand.x, this.width), part(this.hand.y, this.height), part(1, this.width), part(1, this.height)];
  }
}
