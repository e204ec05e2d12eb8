// The controls of the playground, and the wish that they add up to.
import { h, number, put, whole } from "../dom.js";

const ACTIONS = ["sample", "interpolate", "vary", "inpaint"];
const COUNTS = [1, 4, 16, 32, 64];

export class Controls {
  constructor(choices, words, changed) {
    Object.assign(this, { choices, words, changed, action: "sample" });
    this.outputs = {};
    const { box, fields } = this.make();
    this.fields = fields;
    this.box = box;
    this.update();
  }

  make() {
    const { choices, words } = this;
    const select = (options, chosen) => {
      const made = h("select", {}, ...options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
      made.onchange = () => this.update(true);
      return made;
    };
    const range = (min, max, step, value) => h("input", { type: "range", min, max, step, value, oninput: () => this.update(true) });
    const count = (value, max = Number.MAX_SAFE_INTEGER - 100) => h("input", { type: "number", min: 0, max, step: 1, value, oninput: () => this.update(true) });
    const plain = (names) => names.map((name) => [name, name]);
    const [low, high] = choices.guidance_interval || [0, choices.last_time], fine = choices.last_time / 100;
    const fields = {
      first: count(0), second: count(1), image: count(0, Math.max(0, choices.count - 1)), num: select(COUNTS.map((n) => [String(n), String(n)]), "16"),
      source: select(Object.entries(words.sources), "training"), number: count(0), resample: range(1, 5, 1, 1),
      strength: range(0.05, 1, 0.05, 0.6), label: select([["-1", words.any], ...choices.classes.map((name, i) => [String(i), name])], "-1"),
      steps: range(1, Math.max(50, Math.min(choices.steps, choices.most_steps)), 1, choices.steps), sampler: select(plain(choices.samplers), choices.sampler),
      grid: select(plain([...new Set([choices.grid, ...choices.grids])]), choices.grid),
      scale: range(0, Math.max(6, Math.ceil(choices.guidance_scale)), 0.01, choices.guidance_scale), low: range(0, choices.last_time, fine, low), high: range(0, choices.last_time, fine, high),
      weights: select([["ema", words.averaged], ["raw", words.raw], ...(choices.lengths ? [["length", words.other_length]] : [])], choices.ema ? "ema" : "raw"),
      length: choices.lengths ? range(choices.lengths[0], choices.lengths[1], 0.01, 0.1) : h("input", { type: "hidden" }),
      checkpoint: select(choices.checkpoints.map((n) => [String(n), whole(n)]).reverse(), String(choices.checkpoints.at(-1))),
    };
    // A slider rounds to its steps: what it began with stays exact until it is moved.
    this.exact = { scale: [fields.scale.value, choices.guidance_scale], low: [fields.low.value, low], high: [fields.high.value, high] };
    const another = h("button", { type: "button", onclick: () => { fields.first.value = Math.floor(Math.random() * 1e6); this.update(true); } }, words.another);
    this.buttons = ACTIONS.map((name) => h("button", { type: "button", onclick: () => this.begin(name) }, words.actions[name]));
    this.rows = {};
    const row = (name, field, ...more) => {
      this.outputs[name] = h("b", {});
      this.rows[name] = h("label", { class: "stack" }, h("span", {}, words.fields[name], " ", this.outputs[name]), more.length ? h("span", { class: "pair" }, field, ...more) : field);
      return this.rows[name];
    };
    this.conditions = choices.conditions.map((one) => {
      const step = 10 ** Math.floor(Math.log10((one.most - one.least) / 20 || 1));
      const input = h("input", { type: "number", step, oninput: () => this.update(true) }), said = h("b", {});
      const shown = words.condition(one.name, ...[one.least, one.most, one.mean].map((value) => number(value)));
      return { ...one, input, said, row: h("label", { class: "stack" }, h("span", {}, shown, " ", said), input) };
    });
    const box = h("form", { class: "card controls", "aria-label": words.controls, onsubmit: (event) => event.preventDefault() },
      h("div", { class: "row", role: "group", "aria-label": words.view }, ...this.buttons),
      row("source", fields.source), row("number", fields.number), row("image", fields.image), row("strength", fields.strength), row("first", fields.first, another), row("second", fields.second), row("num", fields.num),
      row("label", fields.label), ...this.conditions.map((one) => one.row), row("steps", fields.steps), row("resample", fields.resample), row("sampler", fields.sampler), row("grid", fields.grid),
      row("scale", fields.scale), row("low", fields.low), row("high", fields.high), row("weights", fields.weights), row("length", fields.length), row("checkpoint", fields.checkpoint));
    return { box, fields };
  }

  /** Do something else. Edits take more steps, unless they were chosen, and an inpainting makes few images. */
  begin(action) {
    const { fields, choices } = this, usual = (name) => (["vary", "inpaint"].includes(name) ? choices.edit_steps : choices.steps);
    if (Number(fields.steps.value) === usual(this.action)) fields.steps.value = usual(action);
    if (action === "inpaint" && !this.painted) fields.num.value = "4";
    this.painted ||= action === "inpaint";
    this.action = action;
    this.update(true);
  }

  /** Show what goes with what was chosen, and tell the view. */
  update(changed = false) {
    const { fields, rows, action, choices } = this;
    this.buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(ACTIONS[i] === action)));
    const shown = {
      source: action === "inpaint", number: action === "inpaint" && fields.source.value !== "drawn", resample: action === "inpaint", image: action === "vary", strength: action === "vary", second: action === "interpolate", num: action !== "interpolate",
      label: choices.classes.length > 0, scale: choices.guided, low: choices.guided && Number(fields.scale.value) !== 1, high: choices.guided && Number(fields.scale.value) !== 1,
      length: fields.weights.value === "length",
    };
    for (const [name, there] of Object.entries(shown)) rows[name].hidden = !there;
    const without = ["vary", "inpaint"].includes(action) ? this.words.own : this.words.any;
    put(fields.label.options[0], without);
    for (const { input, said, least, most } of this.conditions) {
      const beyond = input.value !== "" && (Number(input.value) < least || Number(input.value) > most);
      input.placeholder = without;
      put(said, beyond ? this.words.beyond : "");
    }
    for (const name of ["strength", "resample", "steps", "scale", "low", "high", "length"]) put(this.outputs[name], fields[name].value);
    if (changed) this.changed();
  }

  /** Which image is inpainted: [source, number]. */
  get image() {
    return [this.fields.source.value, Math.max(0, Math.floor(Number(this.fields.number.value) || 0))];
  }

  choose(source) {
    this.fields.source.value = source;
    this.update();
  }

  /** {action, body} of the request; what is inpainted is not among it. */
  wish() {
    const { fields, action, choices } = this;
    const value = (name) => (this.exact[name]?.[0] === fields[name].value ? this.exact[name][1] : Number(fields[name].value) || 0);
    const seed = (name) => Math.min(Math.max(Math.floor(value(name)), 0), Number.MAX_SAFE_INTEGER - 100);
    const [low, high] = [value("low"), value("high")].sort((a, b) => a - b), all = low <= 0 && high >= choices.last_time;
    const label = Number(fields.label.value), given = this.conditions.filter((one) => one.input.value !== "");
    const how = {
      checkpoint: fields.checkpoint.value, weights: fields.weights.value === "length" ? `ema:${value("length")}` : fields.weights.value,
      label: label < 0 ? [] : [choices.classes[label]], conditions: Object.fromEntries(given.map((one) => [one.name, Number(one.input.value)])), sampler: fields.sampler.value, grid: fields.grid.value, steps: value("steps"),
      guidance_scale: value("scale"), guidance_interval: all ? [] : [low, high], first: seed("first"),
    };
    const more = { sample: () => ({ num: value("num"), film: true }), interpolate: () => ({ second: seed("second") }), vary: () => ({ num: value("num"), image: seed("image"), strength: value("strength") }), inpaint: () => ({ num: value("num"), resample: value("resample") }) };
    return { action, body: { ...how, ...more[action]() } };
  }
}
