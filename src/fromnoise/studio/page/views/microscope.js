// The microscope: one image with noise of any strength, what is predicted from it, and the way of one seed.
import { ask } from "../api.js";
import { h, number, put } from "../dom.js";
import { WORDS } from "../words/microscope.js";
import { Pad } from "./microscope-pad.js";
import { Walk } from "./microscope-walk.js";
import { head } from "./run.js";

export const page = Array.from(crypto.getRandomValues(new Uint8Array(8)), (one) => one.toString(16).padStart(2, "0")).join("");
const SHOWN = ["image", "noisy", "prediction", "average", "noise", "predicted_noise"];

async function show(main, context) {
  const { words, signal, run } = context, place = `/api/runs/${run}`;
  const [about, choices] = await Promise.all([ask(place, { signal }), ask(`${place}/playground`, { signal })]);
  head(main, context, about, "microscope");
  if (!choices.checkpoints.length) { main.append(h("p", {}, words.none)); return; }
  const common = {
    checkpoint: String(choices.checkpoints.at(-1)), weights: choices.ema ? "ema" : "raw", grid: choices.grid, sampler: choices.sampler, steps: Math.min(choices.steps, choices.most_steps),
    guidance_scale: choices.guidance_scale, guidance_interval: choices.guidance_interval || [], conditions: {},
  };
  const scope = new Scope(about, choices, words, common, place, signal);
  const walk = new Walk(choices, words, { ...common, page: `${page}w` }, place, signal);
  main.append(scope.box, walk.box);
  await scope.look(true);
  await walk.draw();
}

class Scope {
  constructor(about, choices, words, common, place, signal) {
    Object.assign(this, { about, choices, words, common, place, signal, asked: 0, count: choices.count });
    const field = (name, input, ...more) => h("label", { class: "stack" }, h("span", {}, words.fields[name]), more.length ? h("span", { class: "pair" }, input, ...more) : input);
    const changed = () => this.look(true), slid = () => this.look(false);
    this.source = h("select", { onchange: () => { this.number.value = 0; this.sort(); changed(); } }, ...Object.entries(words.sources).map(([value, text]) => h("option", { value }, text)));
    this.number = h("input", { type: "number", min: "0", value: "0", step: "1", oninput: changed });
    const another = h("button", { type: "button", onclick: () => { this.number.value = Math.floor(Math.random() * this.count); changed(); } }, words.another);
    this.pad = new Pad(about.shape, words, place, signal, changed);
    this.part = h("input", { type: "range", min: "1", max: "100", value: "50", oninput: slid, onchange: changed });
    this.seed = h("input", { type: "number", min: "0", value: "0", step: "1", oninput: changed });
    this.label = h("select", { onchange: changed }, h("option", { value: "-1" }, words.own), ...choices.classes.map((name, i) => h("option", { value: i }, name)));
    this.numberRow = field("number", this.number, another);
    this.said = h("p", { class: "quiet small", role: "status" });
    this.images = Object.fromEntries(SHOWN.map((name) => [name, h("img", { alt: words.shown[name] })]));
    this.captions = Object.fromEntries(SHOWN.map((name) => [name, h("figcaption", {}, words.shown[name])]));
    this.figures = Object.fromEntries(SHOWN.map((name) => [name, h("figure", {}, this.images[name], this.captions[name])]));
    this.near = h("div", { class: "near" });
    const controls = h("form", { class: "card controls", "aria-label": words.controls, onsubmit: (event) => event.preventDefault() },
      field("source", this.source), this.numberRow, this.pad.box, field("part", this.part), field("seed", this.seed), choices.classes.length ? field("label", this.label) : null);
    const stage = h("section", { class: "card scope", "aria-label": words.view }, this.said, h("div", { class: "six" }, ...Object.values(this.figures)), h("h2", {}, words.nearest), this.near);
    this.stage = stage;
    this.box = h("div", { class: "playground" }, controls, stage);
    this.sort();
  }

  sort() {
    this.pad.box.hidden = this.source.value !== "drawn";
    this.numberRow.hidden = this.source.value === "drawn";
  }

  /** Ask for the image as it is now; with its `neighbours` once a slider rests. */
  async look(neighbours) {
    const mine = ++this.asked, label = Number(this.label.value), { words } = this;
    const body = {
      ...this.common, page, label: label < 0 ? [] : [this.choices.classes[label]], source: this.source.value, number: Math.max(0, Math.floor(Number(this.number.value) || 0)),
      pixels: this.source.value === "drawn" ? this.pad.pixels() : "", part: Number(this.part.value) / 100, seed: Math.max(0, Math.floor(Number(this.seed.value) || 0)), neighbours,
    };
    this.request?.abort();  // the studio would refuse the older one, and the console would show it
    this.request = new AbortController();
    try {
      const found = await ask(`${this.place}/look`, { signal: AbortSignal.any([this.signal, this.request.signal]), body });
      if (mine === this.asked) this.show(found, neighbours);
    } catch (error) {
      if (mine !== this.asked || this.signal.aborted) return;
      put(this.said, error.message);
      this.said.classList.add("wrong");
    }
  }

  show(found, neighbours) {
    const { words } = this;
    this.said.classList.remove("wrong");
    this.count = found.count;
    put(this.said, words.equation(number(found.t), number(found.alpha), number(found.sigma), found.label));
    for (const name of SHOWN) {
      this.figures[name].hidden = found.images[name] === undefined;
      if (found.images[name]) this.images[name].src = `data:image/png;base64,${found.images[name]}`;
      const error = found.errors[name], off = name === "predicted_noise" ? words.off_noise : words.off;
      put(this.captions[name], words.shown[name] + (error === undefined ? "" : off(number(error))));
    }
    this.stage.dataset.drawn = Number(this.stage.dataset.drawn || 0) + 1;
    if (!neighbours) return;
    this.near.replaceChildren(...found.nearest.map((one) => h("figure", {}, h("img", { src: `data:image/png;base64,${one.image}`, alt: words.neighbour(one.number, one.label) }),
      h("figcaption", {}, words.distance(one.number, number(one.distance), one.label)))));
  }
}

export const microscope = { words: WORDS, show };
