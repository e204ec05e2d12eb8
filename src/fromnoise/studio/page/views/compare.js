// Two to six runs side by side: curves, the same seeds, measures, and the settings in which they differ.
import { ask } from "../api.js";
import { Chart } from "../chart.js";
import { h, put } from "../dom.js";
import { WORDS } from "../words/compare.js";

const COLOURS = [1, 2, 3, 4, 5, 6].map((i) => `--curve-${i}`);
const MOST = COLOURS.length, SEEDS = 16;
const page = Array.from(crypto.getRandomValues(new Uint8Array(8)), (one) => one.toString(16).padStart(2, "0")).join("");

async function show(main, context) {
  const { words, signal, title } = context;
  title(words.view);
  const all = (await ask("/api/runs", { signal })).runs.filter((row) => !row.error);
  const asked = (context.rest[0] || "").split(",").filter((id) => all.some((row) => row.id === id)).slice(0, MOST);
  const chosen = asked.map((id) => all.find((row) => row.id === id));
  main.append(h("h1", {}, words.view), h("p", { class: "quiet" }, words.choose), picker(all, asked, words));
  if (chosen.length < 2) return;
  const place = h("div", { class: "grid" });
  main.append(place);
  const card = (name, ...inside) => { const made = h("section", { class: "card" }, h("h2", {}, name), ...inside); place.append(made); return made; };
  const losses = new Losses(chosen, words, signal, card);
  const seeds = card(words.seeds, h("p", { class: "quiet small", role: "status" }, words.drawing));
  const [found] = await Promise.all([ask(`/api/compare?runs=${asked}`, { signal }), losses.load()]);
  const names = chosen.map((row) => row.name);
  card(words.measures, ...found.notes.map((note) => h("p", { class: "quiet small" }, note)),
    found.measures.length ? grid(words.measures, names, found.measures, true) : h("p", { class: "quiet" }, words.unmeasured));
  const settings = card(words.settings, found.settings.length ? grid(words.settings, names, found.settings) : h("p", { class: "quiet" }, words.equal));
  settings.classList.add("whole");
  await sideBySide(seeds, chosen, words, signal);
}

/** Checkboxes of all runs; the address follows them. */
function picker(all, asked, words) {
  const boxes = all.map((row) => {
    const at = asked.indexOf(row.id), box = h("input", { type: "checkbox", checked: at >= 0, value: row.id, disabled: at < 0 && asked.length >= MOST });
    const key = at >= 0 ? h("span", { class: "key" }) : null;
    if (key) key.style.background = `var(${COLOURS[at]})`;
    box.onchange = () => { location.hash = `#/compare/${box.checked ? [...asked, row.id] : asked.filter((id) => id !== row.id)}`; };
    return h("label", { class: "field choice" }, box, key, row.name);
  });
  return h("fieldset", { class: "choices" }, h("legend", { class: "unseen" }, words.choose), ...boxes);
}

/** The losses of all, over images or seconds. */
class Losses {
  constructor(chosen, words, signal, card) {
    Object.assign(this, { chosen, words, signal, by: "images", log: true, window: [null, null] });
    const by = h("select", {}, h("option", { value: "images" }, words.images), h("option", { value: "seconds" }, words.seconds));
    const log = h("input", { type: "checkbox", checked: true });
    by.onchange = () => { this.by = by.value; this.window = [null, null]; this.load(); };
    log.onchange = () => { this.log = log.checked; this.draw(); };
    const controls = () => h("div", { class: "row" }, h("label", { class: "field" }, words.axis, by), h("label", { class: "field" }, log, words.log));
    const box = h("div"), held = h("div"), zoom = (first, last) => { this.window = [first, last]; for (const one of this.charts) one.reset.hidden = first === null; this.load(); };
    card(words.loss_title, controls(), box, h("p", { class: "quiet small" }, words.units));
    card(words.tiles.validation, held);
    this.charts = [[box, words.loss_title], [held, words.validation]].map(([where, name]) => new Chart(where, { name, words, zoom, signal }));
  }

  async load() {
    const [first, last] = this.window, query = new URLSearchParams({ by: this.by, points: 400, ...(first === null ? {} : { first, last }) });
    this.found = await Promise.all(this.chosen.map((row) => ask(`/api/runs/${row.id}/curves?${query}`, { signal: this.signal })));
    this.draw();
  }

  draw() {
    const axis = { x: this.words[this.by], log: this.log };
    this.charts[0].show(this.found.map(({ loss }, i) => ({ name: this.chosen[i].name, colour: COLOURS[i], x: loss.x, y: loss.smooth })), axis);
    this.charts[1].show(this.found.map(({ events }, i) => {
      const held = events.filter((one) => ["validation", "heldout"].includes(one.event));
      return { name: this.chosen[i].name, colour: COLOURS[i], x: held.map((one) => one[this.by]), y: held.map((one) => one.loss), points: true };
    }), axis);
  }
}

/** Samples of the same seeds, each run with its own settings, and a slider between two of them. */
async function sideBySide(card, chosen, words, signal) {
  const said = card.querySelector("p"), made = [], notes = [];
  for (const [i, row] of chosen.entries()) {
    try {
      const choices = await ask(`/api/runs/${row.id}/playground`, { signal });
      if (choices.steps > choices.most_steps) notes.push(words.fewer(row.name, choices.most_steps, choices.steps));
      const body = {
        page: `${page}${i}`, checkpoint: "last", weights: choices.ema ? "ema" : "raw", label: [], sampler: choices.sampler, grid: choices.grid, steps: Math.min(choices.steps, choices.most_steps),
        guidance_scale: choices.guidance_scale, guidance_interval: choices.guidance_interval || [], conditions: {}, first: 0, num: SEEDS, film: false,
      };
      made.push({ row, source: `data:image/png;base64,${(await ask(`/api/runs/${row.id}/sample`, { signal, body })).image}` });
    } catch (error) {
      if (signal.aborted) return;
      card.append(h("p", { class: "wrong small" }, `${row.name}: ${error.message}`));
    }
  }
  put(said, [words.seeds_help(SEEDS), ...notes].join(" "));
  if (!made.length) return;
  card.append(new Between(made, words).box);
  card.dataset.drawn = made.length;
}

/** Two images on top of each other, and a slider that moves the border. */
class Between {
  constructor(made, words) {
    this.made = made;
    const select = (name, at) => {
      const box = h("select", { onchange: () => this.draw() }, ...made.map(({ row }, i) => h("option", { value: i, selected: i === at }, row.name)));
      return [box, h("label", { class: "field" }, name, box)];
    };
    const [left, leftRow] = select(words.left_side, 0), [right, rightRow] = select(words.right_side, Math.min(1, made.length - 1));
    Object.assign(this, { left, right, under: h("img", {}), over: h("img", {}), slider: h("input", { type: "range", min: "0", max: "100", value: "50", "aria-label": words.border }) });
    this.slider.oninput = () => this.draw();
    this.box = h("div", {}, h("div", { class: "between" }, this.under, this.over), this.slider, h("div", { class: "row" }, leftRow, rightRow));
    this.draw();
  }

  draw() {
    const [left, right] = [this.left, this.right].map((one) => this.made[one.value]);
    if (this.under.src !== right.source) this.under.src = right.source;
    if (this.over.src !== left.source) this.over.src = left.source;
    [this.over.alt, this.under.alt] = [left.row.name, right.row.name];
    this.over.style.clipPath = `inset(0 ${100 - this.slider.value}% 0 0)`;
    this.slider.setAttribute("aria-valuetext", `${this.slider.value} % ${left.row.name}`);
  }
}

function grid(name, names, rows, numbers = false) {
  const kind = numbers ? "number" : "";
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, h("table", {},
    h("thead", {}, h("tr", {}, h("td"), ...names.map((one) => h("th", { scope: "col", class: kind }, one)))),
    h("tbody", {}, ...rows.map(([what, ...cells]) => h("tr", {}, h("th", { scope: "row" }, what), ...cells.map((cell) => h("td", { class: kind }, cell))))),
  ));
}

export const compare = { words: WORDS, show };
