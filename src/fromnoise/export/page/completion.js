// The section in which a drawing is completed: its controls, and inpainting whenever the drawing or one of them changes.
import { Drawing } from "./drawing.js";
import { buttons, byId, paint, places, still } from "./view.js";

const OTHERS = 8;

export class Completion {
  constructor(page, model, drawn) {
    Object.assign(this, { page, model, about: model.about, drawn, request: 0 });
    this.counts = Object.keys(this.about.inpainting).map(Number).sort((a, b) => a - b);
    this.drawing = new Drawing(byId("drawing"), this.about);
    this.drawing.onDone = () => this.complete();
    this.drawing.onMove = () => this.say(() => page.words.hand(this.drawing));
    this.tools();
    this.settings();
  }

  tools() {
    const { drawing, about } = this, least = Math.min(drawing.height, drawing.width), brush = byId("brush");
    buttons(byId("tools"), (i) => { drawing.wiping = i === 1; });
    brush.max = Math.max(3, Math.round(least / 3));
    brush.value = Math.max(1, Math.round(least / 12));
    brush.oninput = () => { drawing.brush = Number(brush.value); byId("brush-value").value = brush.value; };
    brush.oninput();
    byId("ink").oninput = () => {
      const levels = about.shape[0] === 1 ? [byId("ink").value / 100] : byId("ink").value.match(/\w\w/g).map((two) => parseInt(two, 16) / 255);
      drawing.ink = levels.map((level) => about.low + level * (about.high - about.low));
      byId("ink-value").value = about.shape[0] === 1 ? `${byId("ink").value} %` : "";
    };
    byId("ink").oninput();
    const changed = (id, change) => { byId(id).onclick = () => { change(); this.complete(); }; };
    changed("clear", () => drawing.clear());
    changed("take", () => { if (this.drawn()) drawing.take(this.drawn()); });
    changed("invert", () => drawing.invert());
    byId("open").onclick = () => byId("picture").click();
    byId("picture").onchange = () => this.opened(byId("picture").files[0]);
  }

  settings() {
    const { about } = this;
    this.labels = about.unlabelled ? [about.classes.length] : [];
    if (about.classes.length) {
      this.labels.push(...about.classes.keys());
      buttons(byId("completion-classes"), (i) => { this.label = this.labels[i]; this.complete(); });
    }
    this.label = about.classes.length ? this.labels[0] : null;
    byId("completion-steps").value = this.counts.indexOf(about.edit_steps);
    byId("completion").onsubmit = (event) => event.preventDefault();
    for (const id of ["completion-seed", "completion-steps", "passes"]) byId(id).oninput = () => this.complete();
    byId("completion-another").onclick = () => { byId("completion-seed").value = Math.floor(Math.random() * 1e6); this.complete(); };
    byId("others").onclick = () => this.others();
  }

  /** The first drawing: the image above without its lower half. */
  async begin() {
    this.drawing.take(this.drawn());
    this.drawing.wipeLowerHalf();
    await this.complete();
  }

  async opened(file) {
    if (!file) return;
    byId("picture").value = "";
    try {
      await this.drawing.load(file);
      this.say(() => this.page.words.opened);
      this.request++;
      paint(byId("completed"), this.about, this.drawing.values, this.page.words.completed);
    } catch {
      this.say(() => this.page.words.unreadable(file.name));
    }
  }

  get wish() {
    const { values, open } = this.drawing, seed = Math.floor(Number(byId("completion-seed").value) || 0);
    return {
      known: values.slice(),
      open: open.slice(),
      seed: Math.min(Math.max(seed, 0), 4294967295),
      label: this.label,
      steps: this.counts[byId("completion-steps").value],
      passes: Number(byId("passes").value),
      scale: this.about.guidance_scale,
    };
  }

  say(sentence) {
    this.spoken = sentence;
    byId("completion-state").textContent = sentence();
  }

  /** After a change of language. */
  respoken() {
    if (this.spoken) this.say(this.spoken);
    byId("completed").setAttribute("aria-label", this.page.words.completed);
  }

  async complete() {
    const mine = ++this.request, wish = this.wish, began = performance.now(), { words } = this.page;
    byId("completion-steps-value").value = wish.steps;
    byId("passes-value").value = wish.passes;
    if (this.drawing.complete) {
      paint(byId("completed"), this.about, wish.known, words.completed);
      return this.say(() => this.page.words.nothing_open);
    }
    this.say(() => this.page.words.completing);
    for await (const frame of this.model.inpaint(wish)) {
      if (mine !== this.request) return;
      if (!still()) paint(byId("completed"), this.about, frame.x0, words.completed);
      this.last = frame.x;
    }
    paint(byId("completed"), this.about, this.last, words.completed);
    const seconds = ((performance.now() - began) / 1000).toFixed(2);
    this.say(() => this.page.words.completed_in(seconds));
    document.documentElement.dataset.completed = mine;
  }

  async others() {
    const wish = this.wish, mine = (this.asked = (this.asked || 0) + 1);
    if (this.drawing.complete) return this.say(() => this.page.words.nothing_open);
    const there = places(byId("completions"), OTHERS, this.about);
    this.say(() => this.page.words.completing);
    for (let i = 0; i < OTHERS; i++) {
      const one = { ...wish, seed: (wish.seed + i + 1) % 4294967296 };
      let last;
      for await (const frame of this.model.inpaint(one)) {
        if (mine !== this.asked) return;
        last = frame;
      }
      paint(there[i], this.about, last.x, `${this.page.words.completed}, ${this.page.words.image("", one.seed)}`);
    }
    this.say(() => this.page.words.all_completed(OTHERS));
  }
}
