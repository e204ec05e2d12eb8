// Renaming and deleting a run, each asked first, and the trash from which runs come back.
import { ask } from "../api.js";
import { h, put } from "../dom.js";
import { WORDS } from "../words/trash.js";

let deleted = null; // the run that was deleted last, to be undone

/** Buttons that rename and delete the run. */
export function keepers(context, row) {
  const words = WORDS[context.language], place = `/api/runs/${context.run}`, name = row.name.split("/").pop();
  const rename = h("button", { type: "button", class: "plain" }, words.rename), remove = h("button", { type: "button", class: "plain" }, words.delete);
  rename.onclick = () => asked(words.ask_name(name), words.rename, words, context.signal, async (text) => {
    const { run } = await ask(`${place}/rename`, { body: { name: text } });
    location.hash = `#/run/${run}`;
  }, name);
  remove.onclick = () => asked(words.ask_delete(name), words.delete, words, context.signal, async () => {
    deleted = { id: (await ask(`${place}/delete`, { body: {} })).deleted, name: row.name };
    context.say(words.undo(name));
    location.hash = "#/";
  });
  return [rename, remove];
}

/** A dialog that does `work` on yes, with the text of a field where `text` is given; it stays open with what went wrong. */
function asked(question, yes, words, signal, work, text) {
  const field = text === undefined ? null : h("input", { type: "text", value: text, maxlength: "60", "aria-label": question, autocomplete: "off" });
  const fault = h("p", { class: "wrong small", role: "alert" }), box = h("dialog", { class: "card", "aria-label": question });
  const done = async () => {
    try { await work(field?.value.trim()); box.close(); } catch (error) { put(fault, error.message); }
  };
  box.append(h("h2", {}, question), field ?? h("p", {}, words.kept), fault,
    h("div", { class: "row" }, h("button", { type: "button", class: "main", onclick: done }, yes), h("button", { type: "button", onclick: () => box.close() }, words.cancel)));
  field?.addEventListener("keydown", (event) => { if (event.key === "Enter") done(); });
  box.onclose = () => box.remove();
  signal.addEventListener("abort", () => box.remove());
  document.body.append(box);
  box.showModal();
  field?.select();
}

/** What lies in the trash, below the table of runs; `undo` stands above it for the run that was deleted last. */
export async function trash(context) {
  const words = WORDS[context.language], list = h("ul", { class: "trash" }), name = h("summary"), note = h("p", { class: "wrong small", role: "alert" });
  const box = h("details", {}, name, h("p", { class: "quiet small" }, words.trash_help), note, list);
  const look = async () => {
    const { trash: found } = await ask("/api/trash", { signal: context.signal });
    put(name, words.trash(found.length));
    box.hidden = found.length === 0;
    if (found.some((one) => one.id === deleted?.id)) box.open = true;
    list.replaceChildren(...found.map((one) => h("li", { class: "row" }, one.id === deleted?.id ? h("strong", {}, words.undo(one.name)) : h("span", {}, one.name),
      h("button", { type: "button", onclick: () => back(one) }, words.restore))));
  };
  const back = async (one) => {
    try {
      await ask("/api/trash/restore", { body: { deleted: one.id }, signal: context.signal });
      context.say(words.restored(one.name));
      await look();
    } catch (error) { put(note, error.message); }
  };
  await look();
  return box;
}
