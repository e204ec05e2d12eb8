// The report of a run, made on the server from what is in its folder now.
import { ask, text } from "../api.js";
import { h } from "../dom.js";
import { WORDS } from "../words/report.js";
import { head } from "./run.js";

async function show(main, context) {
  const { words, signal, run } = context;
  const about = await ask(`/api/runs/${run}`, { signal });
  head(main, context, about, "report");
  const waiting = h("p", { class: "quiet" }, words.loading);
  main.append(waiting);
  const html = await text(`/api/runs/${run}/report`, signal);  // without its styles: this page has its own
  const page = new DOMParser().parseFromString(html.replace(/<style>[^]*?<\/style>/, ""), "text/html");
  const article = h("article", { class: "report", lang: "en" });
  for (const section of page.querySelectorAll("main > section")) {
    section.removeAttribute("id");
    section.querySelectorAll("h2").forEach((heading) => heading.removeAttribute("id"));
    article.append(document.adoptNode(section));
  }
  waiting.replaceWith(h("p", { class: "quiet small" }, words.about), article);
}

export const report = { words: WORDS, show };
