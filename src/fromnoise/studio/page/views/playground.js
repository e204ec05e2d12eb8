// The playground: samples, interpolations and variations, drawn again whenever a control changes.
import { ask } from "../api.js";
import { command, h, put, whole } from "../dom.js";
import { WORDS } from "../words/playground.js";
import { Controls } from "./playground-controls.js";
import { Painting } from "./playground-painting.js";
import { head } from "./run.js";

const DELAY = 200; // milliseconds after the last change
const page = Array.from(crypto.getRandomValues(new Uint8Array(8)), (one) => one.toString(16).padStart(2, "0")).join("");

async function show(main, context) {
  const { words, signal, run } = context, place = `/api/runs/${run}`;
  const [about, choices] = await Promise.all([ask(place, { signal }), ask(`${place}/playground`, { signal })]);
  head(main, context, about, "playground");
  if (!choices.checkpoints.length) {
    main.append(h("p", {}, words.none));
    return;
  }
  const painting = new Painting(about.shape, words, place, signal, () => soon(), () => controls.choose("drawn"));
  const stage = new Stage(words, painting.box), controls = new Controls(choices, words, () => soon());
  main.append(h("div", { class: "playground" }, controls.box, stage.box));
  let timer, request;
  const draw = async () => {
    request?.abort();
    request = new AbortController();
    const mine = request, wish = controls.wish();
    painting.box.hidden = wish.action !== "inpaint";
    stage.busy(wish.action);
    try {
      if (wish.action === "inpaint") {
        Object.assign(wish.body, await painting.ready(...controls.image));
        const { count, mask } = painting.brush;
        if (mine !== request) return;
        if (count === 0 || count === mask.length) { stage.wait(count ? words.all_painted : words.paint_first); return; }
      }
      const found = await ask(`${place}/${wish.action}`, { signal: AbortSignal.any([signal, mine.signal]), body: { page, ...wish.body } });
      if (mine === request) stage.show(found, wish.action);
    } catch (error) {
      if (mine === request && !signal.aborted) stage.failed(error.message);
    }
  };
  const soon = () => { clearTimeout(timer); timer = setTimeout(draw, DELAY); };
  signal.addEventListener("abort", () => clearTimeout(timer));
  await draw();
}

/** Where the images are seen. */
class Stage {
  constructor(words, painting) {
    this.words = words;
    this.image = h("img", { alt: "", id: "drawn" });
    this.said = h("p", { class: "quiet small", role: "status", id: "said-drawn" }, words.drawing);
    this.slider = h("input", { type: "range", min: "0", max: "0", step: "1", "aria-label": words.film });
    this.row = h("label", { class: "stack" }, this.name = h("span", { class: "quiet small" }, words.film), this.slider);
    this.given = h("div", { class: "row given" });
    this.files = h("p", { class: "row small" });
    this.line = h("div");
    this.slider.oninput = () => this.frame();
    this.box = h("section", { class: "card stage", "aria-label": words.view }, h("div", { class: "side" }, painting, h("div", { class: "screen" }, this.image)), this.row, this.said,
      this.given, h("h2", {}, words.command), this.line, this.files);
  }

  busy(action) {
    this.given.hidden = action !== "vary" && action !== "inpaint";
    this.row.hidden = !this.given.hidden;
    this.files.hidden = action !== "inpaint";
    this.box.setAttribute("aria-busy", "true");
    put(this.said, this.words.drawing);
  }

  failed(text) {
    this.wait(text);
    this.said.classList.add("wrong");
  }

  /** Say what is missing before anything can be made. */
  wait(text) {
    this.box.removeAttribute("aria-busy");
    this.said.classList.remove("wrong");
    put(this.said, text);
  }

  show(found, action) {
    this.frames = action === "sample" ? [...found.frames.slice(0, -1), found.image] : action === "interpolate" ? found.images : [found.image];
    this.names = found.names;
    put(this.name, action === "interpolate" ? this.words.between : this.words.film);
    this.slider.max = this.frames.length - 1;
    if (action !== "interpolate" || this.action !== action) this.slider.value = action === "interpolate" ? 0 : this.frames.length - 1;
    this.slider.disabled = this.frames.length < 2;
    this.action = action;
    const { words } = this;
    this.given.replaceChildren(...(found.given || []).map((image, i) => h("figure", {}, h("img", { src: png(image), alt: words.given[action][i] }), h("figcaption", { class: "quiet small" }, words.given[action][i]))));
    this.files.replaceChildren(...Object.entries(found.files || {}).map(([kind, content]) => h("a", { href: png(content), download: `${kind}.png` }, words.save[kind])));
    const classes = found.labels && new Set(found.labels).size > 1 ? ` · ${words.labels(found.labels)}` : "";
    this.wait([words.took(found.seconds, found.evaluations), words.from(whole(found.checkpoint), found.weights), ...(words.edited[action] ? [words.edited[action](found.facts)] : found.notes || []), ...(found.unkept || [])].filter(Boolean).join(" · ") + classes);
    this.line.replaceChildren(command(found.command, words));
    this.frame();
    this.box.dataset.drawn = Number(this.box.dataset.drawn || 0) + 1;
  }

  frame() {
    const at = Number(this.slider.value);
    this.image.src = png(this.frames[at]);
    this.image.alt = this.action === "interpolate" ? this.words.share(this.names[at]) : this.action === "inpaint" ? this.words.made : this.words.images;
    this.slider.setAttribute("aria-valuetext", this.action === "interpolate" ? this.names[at] : this.words.step(at + 1, this.frames.length));
  }
}

const png = (content) => `data:image/png;base64,${content}`;

export const playground = { words: WORDS, show };
