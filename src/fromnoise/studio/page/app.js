// The frame around the views: which one is shown, in which language and colours.
import { byId, h } from "./dom.js";
import { RUN_VIEWS, VIEWS } from "./views/table.js";
import { WORDS } from "./words/shell.js";

const LANGUAGES = { en: "en", zh: "zh-CN" };
const OPEN = 20_000; // milliseconds after which the page says again that it is open, by which a studio that ends by itself stays

/** What a view gets: words, the address' parts, a signal that ends with the view, and ways to speak and to move. */
class Page {
  constructor() {
    this.language = this.kept("language") || ((navigator.language || "en").startsWith("zh") ? "zh" : "en");
    this.theme = this.kept("theme");
    this.leaving = new AbortController();
    byId("language").onclick = () => { this.keep("language", this.language === "en" ? "zh" : "en"); this.show(); };
    byId("theme").onclick = () => { this.keep("theme", this.dark ? "light" : "dark"); this.colour(); };
    byId("skip").onclick = (event) => { event.preventDefault(); byId("main").focus(); };
    addEventListener("hashchange", () => this.show(true));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.colour());
    this.show();
  }

  kept(name) {
    try { return localStorage.getItem(`fromnoise-${name}`); } catch { return null; }
  }

  keep(name, value) {
    this[name] = value;
    try { localStorage.setItem(`fromnoise-${name}`, value); } catch { /* private windows keep nothing */ }
  }

  get dark() {
    return this.theme ? this.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  colour() {
    if (this.theme) document.documentElement.dataset.theme = this.theme;
    byId("theme").textContent = this.dark ? this.words.light : this.words.dark;
    document.dispatchEvent(new Event("colours"));
  }

  /** The words of a part of the page, in the present language. */
  wordsOf(all) {
    return { ...WORDS[this.language], ...all[this.language] };
  }

  /** Show the view that the address names. */
  show(moved = false) {
    this.leaving.abort();
    this.leaving = new AbortController();
    const [name = "", ...rest] = location.hash.replace(/^#\/?/, "").split("/");
    document.documentElement.lang = LANGUAGES[this.language];
    this.words = WORDS[this.language];
    const key = name || "runs", view = VIEWS[key] || (key === "run" ? RUN_VIEWS[rest[1] || "live"] : undefined);
    this.frame(key);
    const main = byId("main");
    main.replaceChildren();
    if (moved) { scrollTo(0, 0); main.focus({ preventScroll: true }); }
    if (!view) main.append(h("h1", {}, this.words.nowhere), h("p", {}, h("a", { href: "#/" }, this.words.back)));
    else this.open(view, main, rest);
  }

  async open(view, main, rest) {
    const { signal } = this.leaving;
    const context = {
      signal, run: rest[0], rest, language: this.language, words: this.wordsOf(view.words),
      say: (text) => { byId("said").textContent = text; }, again: () => this.show(),
      title: (text) => { document.title = `${text} · fromnoise studio`; },
    };
    try {
      await view.show(main, context);
    } catch (error) {
      if (signal.aborted) return;
      main.replaceChildren(h("p", { class: "banner wrong", role: "alert" }, error.message), h("p", {}, h("a", { href: "#/" }, this.words.back)));
    }
  }

  frame(shown) {
    const { words } = this;
    byId("language").textContent = words.other;
    byId("language").lang = this.language === "en" ? "zh-CN" : "en";
    byId("skip").textContent = words.skip;
    byId("views").setAttribute("aria-label", words.views);
    byId("views").replaceChildren(...Object.entries(VIEWS).map(([name, view]) => {
      const current = name === shown || (name === "runs" && shown === "run");
      return h("a", { href: name === "runs" ? "#/" : `#/${name}`, "aria-current": current && (name === shown ? "page" : "true") }, view.words[this.language].view);
    }));
    this.colour();
  }
}

new Page();
setInterval(() => fetch("/api/open").catch(() => {}), OPEN);
