// What happened while a run trained, in words; the newest first.
import { duration, h, number, percent, whole } from "../dom.js";

const MOST = 100;

/** Fill `list` with sentences on `events`, but for the epochs, which are a curve. */
export function eventList(list, events, words) {
  const shown = events.filter((one) => words.event[one.event]).slice(-MOST).reverse();
  const text = JSON.stringify(shown);
  if (list.dataset.text === text) return;
  list.dataset.text = text;
  const say = { whole, number, percent };
  list.replaceChildren(...(shown.length
    ? shown.map((one) => h("li", {}, h("time", {}, duration(one.seconds)), h("span", {}, words.event[one.event](one, say))))
    : [h("li", {}, h("span"), h("span", { class: "quiet" }, words.no_events))]));
}
