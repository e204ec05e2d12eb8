// The controls of the playground, and the wish that they add up to.
import { h, put, whole } from "../dom.js";

const ACTIONS = ["sample", "interpolate", "vary"];
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
      strength: range(0.05, 1, 0.05, 0.6), label: select([["-1", words.any], ...choices.classes.map((name, i) => [String(i), name])], "-1"),
      steps: range(1, Math.max(50, choices.steps), 1, choices.steps), sampler: select(plain(choices.samplers), choices.sampler),
      grid: select(plain([...new Set([choices.grid, ...choices.grids])]), choices.grid),
      scale: range(0, 6, 0.05, choices.guidance_scale), low: range(0, choices.last_time, fine, low), high: range(0, choices.last_time, fine, high),
      weights: select([["ema", words.averaged], ["raw", words.raw], ...(choices.lengths ? [["length", words.other_length]] : [])], choices.ema ? "ema" : "raw"),
      length: choices.lengths ? range(choices.lengths[0], choices.lengths[1], 0.01, 0.1) : h("input", { type: "hidden" }),
      checkpoint: select(choices.checkpoints.map((n) => [String(n), whole(n)]).reverse(), String(choices.checkpoints.at(-1))),
    };
    const another = h("button", { type: "button", onclick: () => { fields.first.value = Math.floor(Math.random() * 1e6); this.update(true); } }, words.another);
    this.buttons = ACTIONS.map((name) => h("button", { type: "button", onclick: () => { this.action = name; this.update(true); } }, words.actions[name]));
    this.rows = {};
    const row = (name, field, ...more) => {
      this.outputs[name] = h("b", {});
      this.rows[name] = h("label", { class: "stack" }, h("span", {}, words.fields[name], " ", this.outputs[name]), more.length ? h("span", { class: "pair" }, field, ...more) : field);
      return this.rows[name];
    };
    const box = h("form", { class: "card controls", "aria-label": words.controls, onsubmit: (event) => event.preventDefault() },
      h("div", { class: "row", role: "group", "aria-label": words.view }, ...this.buttons),
      row("image", fields.image), row("strength", fields.strength), row("first", fields.first, another), row("second", fields.second), row("num", fields.num),
      row("label", fields.label), row("steps", fields.steps), row("sampler", fields.sampler), row("grid", fields.grid),
      row("scale", fields.scale), row("low", fields.low), row("high", fields.high), row("weights", fields.weights), row("length", fields.length), row("checkpoint", fields.checkpoint));
    return { box, fields };
  }

  /** Show what goes with what was chosen, and tell the view. */
  update(changed = false) {
    const { fields, rows, action, choices } = this;
    this.buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(ACTIONS[i] === action)));
    const shown = {
      image: action === "vary", strength: action === "vary", second: action === "interpolate", num: action !== "interpolate",
      label: choices.classes.length > 0, scale: choices.guided, low: choices.guided && Number(fields.scale.value) !== 1, high: choices.guided && Number(fields.scale.value) !== 1,
      length: fields.weights.value === "length",
    };
    for (const [name, there] of Object.entries(shown)) rows[name].hidden = !there;
    for (const name of ["strength", "steps", "scale", "low", "high", "length"]) put(this.outputs[name], fields[name].value);
    if (changed) this.changed();
  }

  /** {action, body} of the request. */
  wish() {
    const { fields, action, choices } = this, value = (name) => Number(fields[name].value) || 0;
    const seed = (name) => Math.min(Math.max(Math.floor(value(name)), 0), Number.MAX_SAFE_INTEGER - 100);
    const [low, high] = [value("low"), value("high")].sort((a, b) => a - b), all = low <= 0 && high >= choices.last_time;
    const label = Number(fields.label.value);
    const how = {
      checkpoint: fields.checkpoint.value, weights: fields.weights.value === "length" ? `ema:${value("length")}` : fields.weights.value,
      label: label < 0 ? [] : [choices.classes[label]], sampler: fields.sampler.value, grid: fields.grid.value, steps: value("steps"),
      guidance_scale: value("scale"), guidance_interval: all ? [] : [low, high], first: seed("first"),
    };
    const more = { sample: () => ({ num: value("num"), film: true }), interpolate: () => ({ second: seed("second") }), vary: () => ({ num: value("num"), image: seed("image"), strength: value("strength") }) };
    return { action, body: { ...how, ...more[action]() } };
  }
}
