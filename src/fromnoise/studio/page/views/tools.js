// Figures, diagnosis, evaluation and exports of a run, as buttons with what they print.
import { ask, follow } from "../api.js";
import { bytes, duration, h, put } from "../dom.js";
import { WORDS } from "../words/tools.js";
import { head } from "./run.js";

const GROUPS = { look: ["show", "diagnose"], measure: ["evaluate-1000", "evaluate-10000"], take: ["export-html", "export-onnx", "export-diffusers"] };

async function show(main, context) {
  const { words, signal, run } = context, place = `/api/runs/${run}`;
  head(main, context, await ask(place, { signal }), "tools");
  const tools = {}, files = h("ul", { class: "small" });
  const cards = Object.entries(GROUPS).map(([group, names]) => h("section", { class: "card" }, h("h2", {}, words.groups[group]),
    ...names.map((name) => (tools[name] = new Tool(name, place, words, context)).box), group === "take" ? files : h("p", { class: "small" }, h("a", { href: `#/run/${run}/report` }, words.in_report))));
  main.append(h("div", { class: "grid" }, ...cards));
  follow(`${place}/tools/live`, "tools", ({ tools: states, exports }) => {
    for (const [name, state] of Object.entries(states || {})) tools[name]?.update(state);
    if (exports) files.replaceChildren(...Object.entries(exports).map(([name, size]) => h("li", {}, h("a", { href: `${place}/exports/${encodeURIComponent(name)}`, download: name }, name), ` (${bytes(size)})`)));
  }, signal, words);
}

class Tool {
  constructor(name, place, words, context) {
    Object.assign(this, { words, name });
    this.button = h("button", { type: "button" }, words.tools[name]);
    this.state = h("span", { class: "quiet small", role: "status" });
    this.lines = h("pre", { tabindex: "0", hidden: true, "aria-label": words.prints });
    this.button.onclick = async () => {
      this.button.disabled = true;
      try {
        await ask(`${place}/tools/${this.running ? "stop" : "begin"}`, { body: { name }, signal: context.signal });
      } catch (error) {
        put(this.state, error.message);
        this.button.disabled = false;
      }
    };
    this.box = h("div", { class: "tool" }, h("div", { class: "row" }, this.button, this.state), h("p", { class: "quiet small" }, words.about[name]), this.lines);
  }

  update(state) {
    const { words } = this, running = state?.state === "running", ended = this.running && !running;
    this.running = running;
    this.button.disabled = false;
    put(this.button, running ? words.cancel : words.tools[this.name]);
    if (!state) return;
    put(this.state, `${words.tool_states[state.state]}${running || ended || state.state === "done" ? ` · ${duration(state.seconds)}` : ""}`);
    this.state.className = `small ${state.state === "failed" ? "wrong" : "quiet"}`;
    this.lines.hidden = state.lines.length === 0;
    put(this.lines, state.lines.join("\n"));
  }
}

export const tools = { words: WORDS, show };
