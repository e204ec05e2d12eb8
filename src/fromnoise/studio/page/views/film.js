// The same seeds growing better: the previews one after the other.
import { h, put, whole } from "../dom.js";

export class Film {
  constructor(words, place, signal) {
    Object.assign(this, { words, place, images: [], follows: true });
    this.image = h("img", { alt: words.no_preview, hidden: true });
    this.said = h("p", { class: "quiet small" }, words.no_preview);
    this.slider = h("input", { type: "range", min: "0", max: "0", value: "0", "aria-label": words.film });
    this.button = h("button", { type: "button", disabled: true }, words.play);
    this.slider.oninput = () => { this.stop(); this.follows = Number(this.slider.value) === this.images.length - 1; this.draw(); };
    this.button.onclick = () => (this.timer ? this.stop() : this.play());
    this.box = h("div", {}, h("div", { class: "screen" }, this.image), h("div", { class: "controls" }, this.button, this.slider), this.said);
    signal.addEventListener("abort", () => this.stop());
  }

  update(images) {
    if (images.length === this.images.length && images.every((one, i) => one === this.images[i])) return;
    this.images = images;
    this.slider.max = Math.max(0, images.length - 1);
    if (this.follows && !this.timer) this.slider.value = images.length - 1;
    this.button.disabled = images.length < 2;
    this.draw();
  }

  draw() {
    const seen = this.images[this.slider.value];
    this.image.hidden = seen === undefined;
    if (seen === undefined) { put(this.said, this.words.no_preview); return; }
    const text = this.words.after(whole(seen));
    this.image.src = `${this.place}/previews/${seen}`;
    this.image.alt = text;
    this.slider.setAttribute("aria-valuetext", text);
    put(this.said, `${text} (${Number(this.slider.value) + 1} / ${this.images.length})`);
  }

  async play() {
    this.kept = this.images.map((seen) => { const one = new Image(); one.src = `${this.place}/previews/${seen}`; return one; }); // or each frame is asked for again
    await Promise.all(this.kept.map((one) => one.decode().catch(() => {})));
    this.button.textContent = this.words.pause;
    this.slider.value = 0;
    this.draw();
    clearInterval(this.timer); // of a second click meanwhile
    this.timer = setInterval(() => {
      if (Number(this.slider.value) >= this.images.length - 1) { this.stop(); return; }
      this.slider.value = Number(this.slider.value) + 1;
      this.draw();
    }, Math.max(120, Math.min(600, 6000 / this.images.length)));
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.follows = Number(this.slider.value) === this.images.length - 1;
    this.button.textContent = this.words.play;
  }
}
