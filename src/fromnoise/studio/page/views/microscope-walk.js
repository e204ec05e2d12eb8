// Step by step from the same noise: two samplers side by side, what they hold and where they head.
import { ask } from "../api.js";
import { h, number, put } from "../dom.js";

export class Walk {
  constructor(choices, words, common, place, signal) {
    Object.assign(this, { choices, words, common, place, signal, asked: 0, walks: [] });
    const changed = () => this.draw(), second = choices.samplers.find((name) => name !== choices.sampler);
    const beside = choices.distilled ? "ddim" : "euler"; // such a run predicts ends, not means, as solvers of the flow want
    const select = (chosen) => h("select", { onchange: changed }, ...choices.samplers.map((name) => h("option", { value: name, selected: name === chosen }, name)));
    this.samplers = [select(choices.sampler), select(choices.sampler === beside ? second : beside)];
    this.steps = h("input", { type: "number", min: "1", max: "60", value: String(Math.min(60, choices.distilled ? choices.steps : Math.max(choices.steps, 10))), oninput: changed });
    this.seed = h("input", { type: "number", min: "0", value: "0", oninput: changed });
    this.label = h("select", { onchange: changed }, h("option", { value: "-1" }, words.any), ...choices.classes.map((name, i) => h("option", { value: i }, name)));
    this.slider = h("input", { type: "range", min: "0", max: "0", value: "0", "aria-label": words.step_of, oninput: () => this.show() });
    this.said = h("p", { class: "quiet small", role: "status" }, words.drawing);
    const image = () => h("img", { alt: "" });
    this.rows = [0, 1].map(() => ({ name: h("h3", {}, words.drawing), x: image(), x0: image(), time: h("figcaption", {}), ahead: h("figcaption", {}, words.heading) }));
    const field = (name, input) => h("label", { class: "field" }, words.fields[name], input);
    this.box = h("section", { class: "card walk", "aria-label": words.walk }, h("h2", {}, words.walk),
      h("div", { class: "row" }, field("first_sampler", this.samplers[0]), field("second_sampler", this.samplers[1]), field("steps", this.steps), field("seed", this.seed), choices.classes.length ? field("label", this.label) : null),
      this.said, this.slider, h("div", { class: "grid" }, ...this.rows.map((row) => h("div", {}, row.name, h("div", { class: "two" }, h("figure", {}, row.x, row.time), h("figure", {}, row.x0, row.ahead))))));
  }

  async draw() {
    const mine = ++this.asked, label = Number(this.label.value), samplers = this.samplers.map((one) => one.value);
    const body = {
      ...this.common, label: label < 0 ? [] : [this.choices.classes[label]], steps: Math.min(60, Math.max(1, Math.floor(Number(this.steps.value) || 1))),
      seed: Math.max(0, Math.floor(Number(this.seed.value) || 0)), samplers,
    };
    this.request?.abort();
    this.request = new AbortController();
    try {
      const found = await ask(`${this.place}/walk`, { signal: AbortSignal.any([this.signal, this.request.signal]), body });
      if (mine !== this.asked) return;
      this.walks = found.walks;
      this.slider.max = this.walks[0].frames.length - 1;
      this.said.classList.remove("wrong");
      this.show();
      this.box.dataset.drawn = mine;
    } catch (error) {
      if (mine !== this.asked || this.signal.aborted) return;
      put(this.said, error.message);
      this.said.classList.add("wrong");
    }
  }

  show() {
    const at = Number(this.slider.value), { words } = this;
    this.rows.forEach((row, i) => {
      const walk = this.walks[i];
      if (!walk) return;
      const frame = walk.frames[Math.min(at, walk.frames.length - 1)];
      put(row.name, `${walk.sampler} · ${words.evaluations(walk.evaluations)}`);
      row.x.src = `data:image/png;base64,${frame.x}`;
      row.x.alt = words.at(number(frame.t, 2));
      row.x0.src = `data:image/png;base64,${frame.x0 || walk.frames[1].x0}`;
      row.x0.alt = words.heading;
      put(row.time, words.at(number(frame.t, 2)));
    });
    put(this.said, words.step(at, this.walks[0].frames.length - 1));
    this.slider.setAttribute("aria-valuetext", words.step(at, this.walks[0].frames.length - 1));
  }
}
