// The page: unpack the network, then draw whenever a control changes. A newer request ends an older one.
import { Model, sizeAt } from "./sampler.js";
import { Completion } from "./completion.js";
import { Page, buttons, byId, paint, places, still } from "./view.js";

async function unpacked(id) {
  const part = byId(id);
  const bytes = Uint8Array.from(atob(part.textContent), (letter) => letter.charCodeAt(0));
  part.remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function loaded() {
  if (document.readyState === "loading") await new Promise((done) => document.addEventListener("DOMContentLoaded", done));
  const [about, network, script, binary] = await Promise.all(
    ["about", "network", "runtime-script", "runtime-binary"].map(unpacked),
  );
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const ort = await import(address);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = binary.buffer;
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(network, { executionProviders: ["wasm"] });
  URL.revokeObjectURL(address);
  return new Model(JSON.parse(new TextDecoder().decode(about)), ort, session);
}

const MORE = 16;

/** What is asked for, what was drawn, and the controls that change it. */
class Studio {
  constructor(page, model) {
    Object.assign(this, { page, model, about: model.about, label: model.about.classes.length ? 0 : null });
    this.counts = Object.keys(this.about.plans).map(Number).sort((a, b) => a - b);
    this.frames = [];
    this.request = 0;
    this.controls();
    this.completion = new Completion(page, model, () => this.frames.at(-1)?.x);
    page.onSwitch = () => { this.shown(); this.completion.respoken(); };
  }

  controls() {
    const { about } = this;
    if (about.classes.length) buttons(byId("classes"), (i) => { this.label = i; this.draw(); });
    byId("scale").max = about.guidance_most || Math.max(5, Math.ceil(about.guidance_scale));
    byId("scale").min = Math.min(1, about.guidance_scale);
    byId("scale").value = about.guidance_scale;
    byId("steps").value = this.counts.indexOf(about.steps);
    byId("controls").onsubmit = (event) => event.preventDefault();
    for (const id of ["seed", "steps", "scale"]) byId(id).oninput = () => this.draw();
    byId("film").oninput = () => this.shown();
    byId("amount").oninput = () => this.corrupted();
    byId("another").onclick = () => { byId("seed").value = Math.floor(Math.random() * 1e6); this.draw(); };
    byId("play").onclick = () => this.play();
    byId("more").onclick = () => this.more();
  }

  get wish() {
    const seed = Math.min(Math.max(Math.floor(Number(byId("seed").value) || 0), 0), 4294967295);
    const scale = byId("scale-row").hidden ? this.about.guidance_scale : Number(byId("scale").value);
    return { seed, label: this.label, steps: this.counts[byId("steps").value], scale };
  }

  named({ seed, label }) {
    const { words } = this.page;
    return words.image(label === null ? "" : words.of(this.about.classes[label]), seed);
  }

  async draw() {
    const mine = ++this.request, wish = this.wish, began = performance.now(), frames = [];
    byId("steps-value").value = wish.steps;
    byId("scale-value").value = wish.scale.toFixed(2);
    this.page.say(() => this.page.words.generating);
    for await (const frame of this.model.sample(wish)) {
      if (mine !== this.request) return;
      frames.push(frame);
    }
    this.frames = frames;
    byId("film").max = frames.length - 1;
    byId("film").value = frames.length - 1;
    const seconds = ((performance.now() - began) / 1000).toFixed(2);
    this.page.say(() => this.page.words.drawn(seconds));
    document.documentElement.dataset.drawn = mine;
    this.drawnWish = wish;
    this.shown();
    await this.corrupted();
  }

  shown() {
    const frame = this.frames[byId("film").value];
    if (!frame) return;
    byId("film-value").value = `${frame.step} / ${this.frames.length}`;
    const name = this.named(this.drawnWish);
    paint(byId("x"), this.about, frame.x, `${name}. ${this.page.words.x}`, frame.size);
    paint(byId("x0"), this.about, frame.x0, `${name}. ${this.page.words.x0}`);
  }

  async play() {
    const frames = this.frames;
    for (let i = 0; i < frames.length && frames === this.frames; i++) {
      byId("film").value = i;
      this.shown();
      await new Promise((done) => setTimeout(done, still() ? 700 : 1600 / frames.length + 60));
    }
  }

  async more() {
    const wish = this.wish, mine = (this.asked = (this.asked || 0) + 1);
    const there = places(byId("gallery"), MORE, this.about);
    this.page.say(() => this.page.words.generating);
    for (let i = 0; i < MORE; i++) {
      const one = { ...wish, seed: (wish.seed + i) % 4294967296 };
      let last;
      for await (const frame of this.model.sample(one)) {
        if (mine !== this.asked) return;
        last = frame;
      }
      paint(there[i], this.about, last.x, this.named(one));
    }
    this.page.say(() => this.page.words.all_drawn(MORE));
  }

  async corrupted() {
    if (!this.frames.length) return;
    const row = this.about.corruption[byId("amount").value], mine = (this.corrupting = (this.corrupting || 0) + 1);
    const clean = this.frames[this.frames.length - 1].x, noise = this.model.noise(4294967295 - this.drawnWish.seed);
    const noisy = clean.map((value, i) => row.alpha * value + row.sigma * noise[i]);
    byId("amount-value").value = (row.t < 10 ? row.t.toPrecision(2) : row.t.toFixed());
    paint(byId("noisy"), this.about, noisy, this.page.words.noisy, sizeAt(row.alpha, row.sigma));
    const guess = await this.model.denoise({ ...row, guided: false }, noisy, this.drawnWish.label, 1);
    if (mine === this.corrupting) paint(byId("guess"), this.about, guess, this.page.words.guess);
  }
}

const page = new Page();
globalThis.fromnoise = loaded().then(
  (model) => {
    const studio = new Studio(page, model);
    return studio.draw().then(() => studio.completion.begin()).then(() => studio);
  },
  (error) => page.say(() => page.words.failed(error.message), true),
);
