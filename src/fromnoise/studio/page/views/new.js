// A new run: what to train on, how, and for how long; what that would take, and its beginning.
import { ask } from "../api.js";
import { bytes, duration, h, put, whole } from "../dom.js";
import { WORDS } from "../words/new.js";
import { remark } from "./data.js";

async function show(main, context) {
  const { words, signal, title } = context;
  title(words.view);
  const [choices, { runs }] = await Promise.all([ask("/api/new", { signal }), ask("/api/runs", { signal })]);
  const taken = new Set(runs.map((row) => row.name));
  const form = new Form(choices, taken, words);
  const said = h("p", { role: "status", class: "quiet" }, words.hint), estimate = h("div"), lines = h("pre", { tabindex: "0", hidden: true });
  const busy = (text) => { put(said, text); said.className = "quiet"; form.disable(true); };
  const failed = (text) => { put(said, text); said.className = "wrong"; form.disable(false); };

  form.estimate.onclick = async () => {
    busy(words.estimating);
    estimate.replaceChildren();
    try {
      const found = await ask("/api/new/estimate", { signal, body: form.wish() });
      estimate.replaceChildren(...facts(found, words));
      put(said, "");
    } catch (error) {
      if (!signal.aborted) failed(error.message);
      return;
    }
    form.disable(false);
  };
  form.box.onsubmit = async (event) => {
    event.preventDefault();
    busy(words.beginning);
    try {
      const name = form.name.value.trim(), { run } = await ask("/api/new/begin", { signal, body: { ...form.wish(), name } });
      await begun(name, run, signal, words, lines);
    } catch (error) {
      if (!signal.aborted) failed(error.message);
    }
  };
  const waiting = new Waiting(words, signal);
  form.enqueue.onclick = async () => {
    if (!form.box.reportValidity()) return;
    try {
      const name = form.name.value.trim();
      waiting.draw(await ask("/api/new/enqueue", { signal, body: { ...form.wish(), name } }));
      form.take(name);
      put(said, words.queued(name));
      said.className = "quiet";
    } catch (error) {
      if (!signal.aborted) failed(error.message);
    }
  };
  main.append(h("h1", {}, words.view), h("p", { class: "quiet" }, words.lead), h("div", { class: "grid" },
    h("section", { class: "card" }, h("h2", {}, words.what), form.box), h("section", { class: "card" }, h("h2", {}, words.takes), said, lines, estimate), waiting.box));
}

/** Wait until the run is listed, then show it; an Error with its last line where it could not begin. */
async function begun(name, run, signal, words, box) {
  for (;;) {
    const { listed, failed, lines } = await ask(`/api/new/begun/${name}`, { signal });
    if (listed) { location.hash = `#/run/${run}`; return; }
    if (failed) throw new Error((lines.at(-1) || words.failed).replace(/^fromnoise: /, ""));
    box.hidden = lines.length === 0;
    put(box, lines.join("\n"));
    await new Promise((done) => setTimeout(done, 400));
  }
}

/** The runs that wait for their turn. */
class Waiting {
  constructor(words, signal) {
    Object.assign(this, { words, signal });
    this.list = h("ol", { class: "trash" });
    this.none = h("p", { class: "quiet" }, words.queue_empty);
    this.box = h("section", { class: "card", "aria-label": words.queue }, h("h2", {}, words.queue), h("p", { class: "quiet small" }, words.queue_help), this.none, this.list);
    const look = async () => { try { this.draw(await ask("/api/new/queue", { signal })); } catch { /* the next look may find it */ } };
    const timer = setInterval(look, 2000);
    signal.addEventListener("abort", () => clearInterval(timer));
    look();
  }

  draw({ waiting }) {
    this.none.hidden = waiting.length > 0;
    const leave = (name) => async () => this.draw(await ask("/api/new/leave", { signal: this.signal, body: { name } }));
    if (waiting.join() !== this.shown) this.list.replaceChildren(...waiting.map((name) => h("li", { class: "row" }, name, h("button", { type: "button", onclick: leave(name) }, this.words.leave))));
    this.shown = waiting.join();
  }
}

class Form {
  constructor(choices, taken, words) {
    Object.assign(this, { taken });
    const row = (name, field) => h("label", { class: "stack" }, h("span", {}, words.fields[name]), field);
    this.data = h("select", { required: true }, ...choices.data.map((one) => h("option", { value: one.key }, `${one.name}${one.at_hand ? "" : words.download}`)));
    this.about = h("p", { class: "quiet small" });
    this.recipe = h("select", {}, ...choices.recipes.map((name) => h("option", { value: name }, name)));
    this.seed = h("input", { type: "number", min: "0", max: "1000000", step: "1", value: "0", required: true });
    this.name = h("input", { type: "text", required: true, maxlength: "60", pattern: "[A-Za-z0-9][A-Za-z0-9_.\\-]*", autocomplete: "off" });
    this.budget = h("input", { type: "text", value: "3m", pattern: "\\s*[0-9]*\\.?[0-9]+\\s*[smh]?\\s*", "aria-label": words.time });
    this.epochs = h("input", { type: "number", min: "0.01", step: "any", value: "20", "aria-label": words.epochs });
    this.by = ["time", "epochs"].map((value, i) => h("input", { type: "radio", name: "length", value, checked: i === 0 }));
    const length = h("fieldset", {}, h("legend", {}, words.fields.length), h("div", { class: "row" }, h("label", { class: "field" }, this.by[0], words.time), this.budget, h("span", { class: "quiet small" }, words.time_help)),
      h("div", { class: "row" }, h("label", { class: "field" }, this.by[1], words.epochs), this.epochs));
    this.estimate = h("button", { type: "button" }, words.estimate);
    this.enqueue = h("button", { type: "button" }, words.enqueue);
    this.begin = h("button", { type: "submit", class: "main" }, words.begin);
    this.box = h("form", { class: "new" }, row("data", this.data), this.about, row("recipe", this.recipe), length, row("seed", this.seed), row("name", this.name),
      h("div", { class: "row" }, this.begin, this.enqueue, this.estimate));
    this.budget.onfocus = () => { this.by[0].checked = true; };
    this.epochs.onfocus = () => { this.by[1].checked = true; };
    const suggest = () => {
      const one = choices.data[this.data.selectedIndex], base = `${one.name.split(/[\\/]/).pop().replace(/[^A-Za-z0-9_-]+/g, "-").replace(/^-+/, "") || "run"}-${this.recipe.value}`.slice(0, 55); // of 60: room for a number
      let name = base;
      for (let i = 2; this.taken.has(name); i++) name = `${base}-${i}`;
      this.name.value = name;
      put(this.about, words.sets[one.key]?.(whole(one.count)) || one.about);
    };
    this.data.onchange = this.recipe.onchange = suggest;
    this.take = (name) => { taken.add(name); suggest(); };
    suggest();
  }

  disable(yes) {
    this.begin.disabled = this.enqueue.disabled = this.estimate.disabled = yes;
  }

  wish() {
    const timed = this.by[0].checked;
    return { data: this.data.value, recipe: this.recipe.value, budget: timed ? this.budget.value.trim() : "", epochs: timed ? 0 : Number(this.epochs.value), seed: Math.floor(Number(this.seed.value)) || 0 };
  }
}

/** What the preflight has found. */
function facts(found, words) {
  const { cost, data } = found, rows = [[words.images_there, whole(data.counts.train)], [words.parameters, whole(found.parameters)], [words.batch, whole(found.batch_size)]];
  if (cost) rows.push([words.to_train, whole(cost.images)], [words.takes_time, duration(cost.seconds)], [words.speed, whole(cost.images_per_second)], [words.memory, bytes(cost.peak_bytes)]);
  rows.push([words.disk, bytes(found.disk.needed)], [words.duplicates, whole(data.duplicates)]);
  return [h("dl", { class: "facts" }, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])), ...data.remarks.map((note) => remark(note, words))];
}

export const fresh = { words: WORDS, show };
