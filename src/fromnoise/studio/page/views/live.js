// A run while it trains and after: numbers, film, curves, events.
import { ask, follow } from "../api.js";
import { Chart } from "../chart.js";
import { bytes, duration, h, number, percent, put, whole } from "../dom.js";
import { WORDS } from "../words/run.js";
import { eventList } from "./events.js";
import { Film } from "./film.js";
import { head } from "./run.js";

const NOISE = [1, 2, 3, 4, 5, 6, 7, 8].map((i) => `--noise-${i}`);
const REST = 2000; // milliseconds between two looks at the curves

async function show(main, context) {
  const { words, signal } = context, place = `/api/runs/${context.run}`;
  const about = await ask(place, { signal });
  const top = head(main, context, about, "live");
  const numbers = new Numbers(main, words);
  const film = new Film(words, place, signal);
  const box = (title, ...inside) => h("section", { class: "card" }, h("h2", {}, title), ...inside);
  const curves = new Curves(words, place, signal);
  const events = h("ul", { class: "events", tabindex: "0", "aria-label": words.events });
  const facts = h("dl", { class: "facts" });
  main.append(h("div", { class: "grid" },
    box(words.loss_title, curves.controls, curves.boxes.loss), h("section", { class: "card film" }, h("h2", {}, words.film), film.box),
    box(words.noise_title, h("p", { class: "quiet small" }, words.noise_help), curves.boxes.noise), box(words.validation_title, curves.boxes.validation),
    box(words.speed_title, curves.boxes.speed), box(words.events, events), box(words.facts, facts)));
  const measures = box(words.measures_title, curves.boxes.measures);
  main.lastChild.append(measures);
  measures.hidden = true;

  const state = { ...about };
  const update = () => {
    top.update(state);
    numbers.update(state.row);
    film.update(state.previews);
    fill(facts, [[words.parameters, whole(state.parameters)], [words.classes, state.classes.length ? state.classes.join(", ") : words.no_classes],
      [words.checkpoints, state.checkpoints.length ? state.checkpoints.map(whole).join(", ") : "–"],
      ...(state.resources ? [[words.memory, bytes(state.resources.memory)], [words.load, words.load_of(state.resources.load ?? "–", state.resources.cpus)]] : [])]);
  };
  curves.drawn = (found) => {
    eventList(events, found.events, words);
    measures.hidden = !found.events.some((one) => one.event === "evaluation");
  };
  update();
  await curves.load();
  follow(`${place}/live`, "run", (changed) => {
    Object.assign(state, changed);
    update();
    curves.soon();
  }, signal, words);
}

function fill(list, rows) {
  const text = JSON.stringify(rows);
  if (list.dataset.text === text) return;
  list.dataset.text = text;
  list.replaceChildren(...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** The numbers at the top. */
class Numbers {
  constructor(main, words) {
    this.words = words;
    this.values = Object.fromEntries(["images", "loss", "validation", "distance", "speed", "time"].map((name) => [name, h("dd", { id: `tile-${name}` })]));
    this.progress = h("progress", { max: "1", value: "0", "aria-label": words.done });
    this.dt = h("dt", {}, words.time);
    const tile = (name, ...more) => h("div", { class: "tile" }, name === "time" ? this.dt : h("dt", {}, words.tiles[name]), this.values[name], ...more);
    main.append(h("dl", { class: "tiles" }, tile("images"), tile("loss"), tile("validation"), tile("distance"), tile("speed"), tile("time")), this.progress, h("p"));
  }

  update(row) {
    const { values, words } = this, training = row.state === "training", measured = row.measures;
    put(values.images, whole(row.images));
    put(values.loss, number(row.loss));
    put(values.validation, number(row.validation));
    put(values.distance, measured.frechet_distance === undefined ? "–"
      : `${number(measured.frechet_distance)}${measured.class_accuracy === null ? "" : ` · ${percent(measured.class_accuracy)}`}`);
    put(values.speed, whole(row.speed));
    put(this.dt, training && row.left !== null ? words.left : words.time);
    put(values.time, duration(training && row.left !== null ? row.left : row.seconds));
    this.progress.value = row.done ?? 0;
  }
}

/** The curves, of the chosen axis and part. */
class Curves {
  constructor(words, place, signal) {
    Object.assign(this, { words, place, signal, by: "images", smoothing: 0.04, log: true, window: [null, null], loading: false, again: false });
    this.boxes = Object.fromEntries(["loss", "noise", "validation", "speed", "measures"].map((name) => [name, h("div")]));
    const zoom = (first, last) => { this.window = [first, last]; for (const one of Object.values(this.charts)) one.reset.hidden = first === null; this.load(); };
    const chart = (name, title, low = false) => new Chart(this.boxes[name], { name: title, words, zoom, signal, low });
    this.charts = {
      loss: chart("loss", words.loss_title), noise: chart("noise", words.noise_title), validation: chart("validation", words.validation_title),
      speed: chart("speed", words.speed_title, true), measures: chart("measures", words.measures_title, true),
    };
    this.controls = this.makeControls();
  }

  makeControls() {
    const { words } = this;
    const by = h("select", { id: "by" }, h("option", { value: "images" }, words.images), h("option", { value: "seconds" }, words.seconds));
    const log = h("input", { type: "checkbox", id: "log", checked: true });
    const smooth = h("input", { type: "range", id: "smoothing", min: "0", max: "20", step: "1", value: "4" });
    by.onchange = () => { this.by = by.value; this.window = [null, null]; this.load(); };
    log.onchange = () => { this.log = log.checked; this.draw(); };
    smooth.onchange = () => { this.smoothing = smooth.value / 100; this.load(); };
    return h("div", { class: "row" }, h("label", { class: "field" }, words.axis, by), h("label", { class: "field" }, log, words.log),
      h("label", { class: "field" }, words.smoothing, smooth));
  }

  /** Load soon: at most once in REST milliseconds. Of a run that went meanwhile the stream tells. */
  soon() {
    if (this.timer) return;
    this.timer = setTimeout(() => { this.timer = null; this.load().catch(() => {}); }, REST);
  }

  async load() {
    if (this.loading) { this.again = true; return; }
    this.loading = true;
    const [first, last] = this.window, points = Math.min(1200, Math.max(200, this.boxes.loss.clientWidth));
    const query = new URLSearchParams({ by: this.by, points, smoothing: this.smoothing, ...(first === null ? {} : { first, last }) });
    try {
      this.found = await ask(`${this.place}/curves?${query}`, { signal: this.signal });
      this.draw();
    } catch (error) {
      if (!this.signal.aborted && !(error instanceof TypeError)) throw error;
    } finally {
      this.loading = false;
    }
    if (this.again) { this.again = false; await this.load(); }
  }

  draw() {
    const { found, words, charts } = this;
    if (!found) return;
    const x = this.by === "images" ? words.images : words.seconds, axis = { x, log: this.log }, plain = { x };
    const of = (kind) => found.events.filter((one) => one.event === kind && Number.isFinite(one[this.by]));
    const series = (events, key, more) => ({ x: events.map((one) => one[this.by]), y: events.map((one) => one[key]), ...more });
    const epochs = of("epoch"), held = of("validation").concat(of("heldout")), measured = of("evaluation");
    const { loss, speed } = found;
    charts.loss.show([
      { colour: "--curve-1", x: loss.x, y: [], low: loss.low, high: loss.high },
      { name: words.loss, colour: "--curve-1", x: loss.x, y: loss.smooth },
      series(epochs, "loss", { name: words.epoch_mean, colour: "--curve-4", points: epochs.length < 60, width: 1.2 }),
      series(held, "loss", { name: words.validation, colour: "--curve-2", points: true }),
    ], axis);
    charts.validation.show([
      series(held, "loss", { name: words.validation, colour: "--curve-2", points: true }),
      series(held, "train_loss", { name: words.train_loss, colour: "--curve-1", points: true }),
    ], axis);
    charts.noise.show(NOISE.map((colour, i) => ({
      name: held.length ? words.at_time(number(held[held.length - 1].t[i], 2)) : "", colour,
      x: held.map((one) => one[this.by]), y: held.map((one) => one.by_noise[i]), points: held.length < 40,
    })), axis);
    charts.speed.show([{ colour: "--curve-3", x: speed.x, y: [], low: speed.low, high: speed.high }, { name: words.speed, colour: "--curve-3", x: speed.x, y: speed.mean }], plain);
    charts.measures.show([series(measured, "frechet_distance", { name: words.tiles.distance, colour: "--curve-6", points: true })], axis);
    this.drawn?.(found);
  }
}

export const live = { words: WORDS, show };
