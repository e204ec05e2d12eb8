// What is seen: words in the chosen language, colours, canvases and the state line.
import { WORDS } from "./words.js";
import { pixels } from "./sampler.js";

export const byId = (id) => document.getElementById(id);

/** Words and colours, switched by the two buttons at the top. */
export class Page {
  constructor() {
    const wanted = (navigator.language || "en").startsWith("zh") ? "zh" : "en";
    this.dark = matchMedia("(prefers-color-scheme: dark)").matches;
    this.spoken = () => this.words.loading;
    this.onSwitch = () => {};
    byId("language").onclick = () => this.speak(this.language === "en" ? "zh" : "en");
    byId("theme").onclick = () => { this.dark = !this.dark; this.colour(); };
    this.speak(wanted);
  }

  speak(language) {
    this.language = language;
    this.words = WORDS[language];
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    for (const part of document.querySelectorAll("[data-text]")) part.textContent = this.words[part.dataset.text];
    for (const part of document.querySelectorAll("[data-label]")) part.setAttribute("aria-label", this.words[part.dataset.label]);
    byId("language").textContent = language === "en" ? "中文" : "English";
    byId("language").lang = language === "en" ? "zh-CN" : "en";
    byId("status").textContent = this.spoken();
    this.colour();
    this.onSwitch();
  }

  colour() {
    document.documentElement.dataset.theme = this.dark ? "dark" : "light";
    byId("theme").textContent = this.dark ? this.words.light : this.words.dark;
  }

  /** Show a sentence in the state line; `sentence` is called again when the language changes. */
  say(sentence, wrong = false) {
    this.spoken = sentence;
    byId("status").textContent = sentence();
    byId("status").classList.toggle("wrong", wrong);
  }
}

/** Whether the reader's system asks for less motion. */
export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Draw x / size on a canvas, and say to screen readers what it shows. */
export function paint(canvas, about, x, label, size = 1) {
  canvas.getContext("2d").putImageData(pixels(about, x, size), 0, 0);
  canvas.setAttribute("aria-label", label);
}

/** `count` canvases in a box, all there at once, so that nothing moves when images come. */
export function places(box, count, about) {
  const [, height, width] = about.shape;
  const all = Array.from({ length: count }, () => Object.assign(document.createElement("canvas"), { width, height, role: "img" }));
  box.replaceChildren(...all);
  return all;
}

/** Makes the buttons in a box a choice of one; `choose` gets its index. */
export function buttons(box, choose) {
  const all = [...box.children];
  const press = (pressed) => all.forEach((button, i) => button.setAttribute("aria-pressed", String(i === pressed)));
  all.forEach((button, i) => { button.onclick = () => { press(i); choose(i); }; });
  press(0);
}
