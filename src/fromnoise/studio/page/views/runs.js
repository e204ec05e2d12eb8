// The table of all runs.
import { ask, follow } from "../api.js";
import { ago, command, duration, h, number, percent, whole } from "../dom.js";
import { WORDS } from "../words/runs.js";
import { trash } from "./trash.js";

// column -> [what it sorts by, whether it is a number, where it is left out]
const COLUMNS = {
  name: [(row) => row.name.toLowerCase(), false, ""],
  state: [(row) => ["training", "failed", "stopped", "finished", "new"].indexOf(row.state), false, "wide"],
  data: [(row) => row.data, false, "wide"],
  images: [(row) => row.images, true, ""],
  seconds: [(row) => row.seconds, true, "wide"],
  loss: [(row) => row.loss, true, ""],
  validation: [(row) => row.validation, true, "middle"],
  distance: [(row) => row.measures.frechet_distance, true, "middle"],
  accuracy: [(row) => row.measures.class_accuracy, true, "wide"],
  changed: [(row) => row.changed, true, "wide"],
};
let order = ["changed", -1];

async function show(main, context) {
  const { words, signal, title } = context, rows = new Map();
  title(words.view);
  const count = h("span", { class: "quiet" }), place = h("p", { class: "quiet small" }, "\u00a0");
  const find = h("input", { type: "search", "aria-label": words.find, placeholder: words.find });
  const head = h("tr"), body = h("tbody");
  const table = h("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": words.view },
    h("table", { class: "runs" }, h("thead", {}, head), body));
  const empty = h("div", { class: "empty", hidden: true }, h("h2", {}, words.none), h("p", {}, words.begin),
    command("fromnoise train digits", words), h("p"), command("fromnoise train mnist --budget 3m", words));
  main.append(h("div", { class: "row" }, h("h1", {}, words.view), count, h("span", { class: "push" }), find), place, table, empty);

  const headings = () => head.replaceChildren(h("th", { class: "thumb", scope: "col" }, h("span", { class: "unseen" }, words.preview)),
    ...Object.entries(COLUMNS).map(([name, [, isNumber, where]]) => {
      const sorted = order[0] === name ? (order[1] > 0 ? "ascending" : "descending") : "none";
      const button = h("button", { type: "button", onclick: () => {
        order = [name, order[0] === name ? -order[1] : isNumber ? -1 : 1];
        headings();
        draw();
        head.querySelector(`[data-column=${name}]`).focus();
      }, "data-column": name }, `${words.columns[name]} ${{ ascending: "↑", descending: "↓", none: "" }[sorted]}`.trim());
      return h("th", { scope: "col", "aria-sort": sorted, class: `${isNumber ? "number" : ""} ${where}` }, button);
    }));

  const drawn = new Map();
  const draw = () => {
    const [by, way] = order, key = COLUMNS[by][0], wanted = find.value.trim().toLowerCase();
    const shown = [...rows.values()].filter((row) => [row.name, row.data, row.recipe, words.states[row.state]].join(" ").toLowerCase().includes(wanted));
    shown.sort((a, b) => compare(key(a), key(b), way) || a.name.localeCompare(b.name));
    for (const row of shown) {
      const text = JSON.stringify(row), known = drawn.get(row.id);
      if (known?.text !== text) {
        const made = line(row, words);
        if (known?.element.parentNode) known.element.replaceWith(made);
        drawn.set(row.id, { text, element: made });
      }
    }
    const elements = shown.map((row) => drawn.get(row.id).element);
    if (elements.length !== body.children.length || elements.some((one, i) => body.children[i] !== one)) body.replaceChildren(...elements);
    count.textContent = words.count(rows.size);
    empty.hidden = rows.size > 0;
    table.hidden = rows.size === 0;
  };
  find.oninput = draw;
  headings();

  const first = await ask("/api/runs", { signal });
  place.textContent = words.below(first.folder);
  for (const row of first.runs) rows.set(row.id, row);
  draw();
  main.append(await trash(context));
  follow("/api/runs/live", "runs", (changed, gone, all) => {
    for (const [id, row] of Object.entries(changed)) {
      const before = rows.get(id);
      if (before && before.state !== row.state) context.say(words.became(row.name, words.states[row.state]));
      rows.set(id, row);
    }
    for (const id of all ? [...rows.keys()].filter((one) => !(one in changed)) : gone) rows.delete(id);
    draw();
  }, signal, words);
}

function compare(a, b, way) {
  const missing = (value) => value === null || value === undefined;
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  return (a < b ? -1 : a > b ? 1 : 0) * way;
}

function line(row, words) {
  const state = () => h("span", { class: `state ${row.state}` }, words.states[row.state]);
  const image = row.preview === null ? null : h("img", { src: `/api/runs/${row.id}/previews/${row.preview}`, alt: "", width: "134", height: "102", loading: "lazy" });
  const cell = (text, ...classes) => h("td", { class: classes.join(" ") }, text);
  const measured = row.measures;
  return h("tr", {},
    h("td", { class: "thumb" }, h("div", {}, image)),
    h("th", { scope: "row", class: "name" }, h("a", { href: `#/run/${row.id}` }, row.name),
      h("div", { class: "quiet small" }, row.error || row.recipe), h("div", { class: "under" }, state())),
    h("td", { class: "wide", title: row.message }, state(),
      row.state === "training" && row.left !== null ? h("div", { class: "quiet small" }, words.left(duration(row.left))) : null),
    cell(row.data, "wide"),
    h("td", { class: "number" }, whole(row.images),
      row.state === "training" && row.done !== null ? h("progress", { max: "1", value: row.done, "aria-label": words.done }) : null),
    cell(duration(row.seconds), "number wide"),
    cell(number(row.loss), "number"),
    cell(number(row.validation), "number middle"),
    h("td", { class: "number middle", title: measured.count ? words.measured(whole(measured.count)) : null }, number(measured.frechet_distance)),
    cell(percent(measured.class_accuracy), "number wide"),
    cell(ago(row.changed), "number wide quiet"),
  );
}

export const runs = { words: WORDS, show };
