// The head of a run's page: its name, how it stands, and the tabs.
import { ask, follow } from "../api.js";
import { byId, command, h, put } from "../dom.js";
import { RUN_VIEWS } from "./table.js";
import { keepers } from "./trash.js";

/** Put the head into `main`; returns {update}, which takes what `live` of the server tells. */
export function head(main, context, about, current) {
  const { words } = context, { row } = about;
  context.title(row.name);
  const state = h("span", { class: `state ${row.state}`, id: "state" }, words.states[row.state]);
  const under = h("p", { class: "quiet" }, `${row.recipe} · ${row.data}${about.count ? ` · ${words.images_of(about.count)}` : ""} · ${words.spec(about.shape, about.classes.length)}`);
  const note = h("div", { id: "note" });
  const tabs = h("nav", { class: "tabs", "aria-label": words.tabs }, ...Object.entries(RUN_VIEWS).map(([name, view]) => h("a", {
    href: `#/run/${context.run}${name === "live" ? "" : `/${name}`}`, "aria-current": name === current ? "page" : null,
  }, view.words[context.language].view)));
  const act = (name) => {
    const button = h("button", { type: "button", hidden: true }, words[name]);
    button.onclick = async () => {
      button.disabled = true;
      try { await ask(`/api/runs/${context.run}/${name}`, { body: {}, signal: context.signal }); } catch (error) { context.say(error.message); fault.textContent = error.message; }
      setTimeout(() => { button.disabled = false; }, 3000);
    };
    return button;
  };
  const stop = act("stop"), resume = act("resume"), fault = h("p", { class: "wrong small", role: "alert" }), keep = keepers(context, row);
  main.append(h("div", { class: "row" }, h("h1", {}, row.name), state, h("span", { class: "push" }), ...keep, stop, resume), under, fault, note, tabs);
  let shown = "";
  const update = ({ row: now, lines, checkpoints }) => {
    if (state.textContent !== words.states[now.state]) context.say(words.became(now.name, words.states[now.state]));
    state.className = `state ${now.state}`;
    put(state, words.states[now.state]);
    stop.hidden = now.state !== "training";
    for (const button of keep) button.hidden = now.state === "training";
    resume.hidden = !["stopped", "failed"].includes(now.state) || now.error !== "" || checkpoints.length === 0;
    const goOn = checkpoints.length ? [command(about.resume, words)] : [];
    const text = JSON.stringify([now.state, now.message, now.error, lines, goOn.length]);
    if (text === shown) return;
    shown = text;
    byId("note").replaceChildren(...ending(now, lines, goOn, words));
  };
  update(about);
  if (current !== "live") { // that view has the stream open, and passes on what it tells
    const there = { ...about };
    follow(`/api/runs/${context.run}/live`, "run", (changed) => update(Object.assign(there, changed)), context.signal, words);
  }
  return { update };
}

/** How a training ended that did not finish, and how it goes on: nodes of the command where there is a checkpoint. */
function ending(row, lines, goOn, words) {
  if (row.state === "failed") {
    return [h("div", { class: "banner wrong" }, h("strong", {}, words.failed), " ", row.error || row.message || words.killed,
      lines.length ? h("pre", { tabindex: "0" }, lines.join("\n")) : null), ...goOn];
  }
  if (row.state === "stopped" && goOn.length) return [h("p", { class: "quiet" }, words.go_on), ...goOn];
  return [];
}
