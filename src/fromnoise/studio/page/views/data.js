// The images that a run was trained on: in numbers, and to look at, class by class.
import { ask } from "../api.js";
import { h, number, put, whole } from "../dom.js";
import { WORDS } from "../words/data.js";
import { head } from "./run.js";

const IMAGES = 48;

async function show(main, context) {
  const { words, signal, run } = context, place = `/api/runs/${run}`;
  head(main, context, await ask(`/api/runs/${run}`, { signal }), "data");
  const waiting = h("p", { class: "quiet" }, words.reading);
  main.append(waiting);
  const found = await ask(`${place}/data`, { signal });
  const box = (title, ...inside) => h("section", { class: "card" }, h("h2", {}, title), ...inside);
  waiting.replaceWith(h("div", { class: "grid" },
    box(words.images_title, new Browser(found, place, words).box),
    box(words.numbers, facts(found, words), ...found.remarks.map((note) => remark(note, words)),
      ...(found.bad.length ? [h("h3", {}, words.bad(found.bad.length)), h("ul", { class: "small bad", lang: "en" }, ...found.bad.slice(0, 50).map((one) => h("li", {}, one)))] : [])),
    ...(Object.keys(found.classes).length ? [box(words.classes, bars(found.classes, words))] : []),
    box(words.channels, channels(found, words)),
  ));
}

/** What was found or done, in the page's language where it has words for it. */
export function remark({ text, kind, values }, words) {
  const own = words.notes[kind]?.(values);
  return h("p", { class: "small", lang: own ? null : "en" }, own || text);
}

/** Pages of images of a class, or of all. */
class Browser {
  constructor(found, place, words) {
    Object.assign(this, { found, place, words, page: 0 });
    this.names = found.class_names;  // an object's keys that are numbers would come first
    this.select = h("select", {}, h("option", { value: "-1" }, words.all), ...this.names.map((name, i) => h("option", { value: i }, name)));
    this.select.onchange = () => { this.page = 0; this.draw(); };
    const step = (by) => { this.page += by; this.draw(); };
    this.back = h("button", { type: "button", onclick: () => step(-1) }, words.earlier);
    this.next = h("button", { type: "button", onclick: () => step(1) }, words.later);
    this.image = h("img", {});
    this.said = h("span", { class: "quiet small", role: "status" });
    this.box = h("div", { class: "browser" }, this.names.length ? h("label", { class: "field" }, words.class_of, this.select) : null,
      h("div", { class: "screen" }, this.image), h("div", { class: "row" }, this.back, this.next, this.said));
    this.draw();
  }

  draw() {
    const label = Number(this.select.value), count = this.found.training[label + 1], pages = Math.max(1, Math.ceil(count / IMAGES));
    this.page = Math.min(Math.max(this.page, 0), pages - 1);
    this.back.disabled = this.page === 0;
    this.next.disabled = this.page === pages - 1;
    this.image.src = `${this.place}/data/images?page=${this.page}&label=${label}`;
    this.image.alt = this.words.shown(label < 0 ? "" : this.names[label], whole(this.page * IMAGES + 1), whole(Math.min(count, (this.page + 1) * IMAGES)));
    put(this.said, this.words.page(whole(this.page + 1), whole(pages)));
  }
}

function facts(found, words) {
  const list = (tally) => Object.entries(tally).map(([name, count]) => `${name} (${whole(count)})`).join(", ");
  const rows = [[words.counts, Object.entries(found.counts).map(([name, count]) => `${words.splits[name] || name} (${whole(count)})`).join(", ")], [words.held_out, whole(found.validation)], [words.shape, `${found.shape[1]}x${found.shape[2]}, ${words.of_channels(found.shape[0])}`],
    [words.sizes, list(found.sizes)], [words.modes, list(found.modes)], [words.range, found.range === "full" ? words.full : found.range], [words.fingerprint, found.fingerprint.slice(0, 16)]];
  return h("dl", { class: "facts" }, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value || "–")]));
}

function bars(classes, words) {
  const most = Math.max(...Object.values(classes));
  return h("div", { class: "scroll bars", tabindex: "0", role: "region", "aria-label": words.classes }, h("table", {}, h("tbody", {},
    ...Object.entries(classes).map(([name, count]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "number" }, whole(count)),
      h("td", {}, h("meter", { min: 0, max: most, value: count, "aria-label": name })))))));
}

function channels(found, words) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": words.channels }, h("table", {}, h("thead", {}, h("tr", {}, ...words.channel_columns.map((name) => h("th", { scope: "col", class: "number" }, name)))),
    h("tbody", {}, ...found.channels.map((one, i) => h("tr", {}, h("th", { scope: "row", class: "number" }, i + 1),
      ...[one.min, one.max, one.mean, one.std].map((value) => h("td", { class: "number" }, number(value))))))));
}

export const data = { words: WORDS, show };
