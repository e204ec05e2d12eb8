// What the page asks the server for.
import { byId, put } from "./dom.js";

/** The answer to a request to `body` as JSON, or to a `file`; an Error with the server's sentence where it refused. */
export async function ask(path, { signal, body, file } = {}) {
  const sent = (type, content) => ({ signal, method: "POST", headers: { "content-type": type }, body: content });
  const options = file ? sent("application/octet-stream", file) : body === undefined ? { signal } : sent("application/json", JSON.stringify(body));
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error(await sentence(answer));
  return answer.json();
}

export async function text(path, signal) {
  const answer = await fetch(path, { signal });
  if (!answer.ok) throw new Error(await sentence(answer));
  return answer.text();
}

async function sentence(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `${answer.status} ${answer.statusText}`;
  }
}

/** Follow a stream of events; `take` gets what changed, by name, the names that are gone, and whether that is all there is:
 * a hidden page rests, and what went meanwhile is not told. */
export function follow(path, name, take, signal, words) {
  let source = null, over = false, first = true;
  const open = () => {
    if (source || over || document.hidden || signal.aborted) return;
    source = new EventSource(path);
    source.addEventListener(name, (event) => {
      const { changed, gone } = JSON.parse(event.data);
      take(changed, gone, first);
      first = false;
    });
    source.addEventListener("ended", () => { over = true; close(); say(words.ended); });
    source.onopen = () => { first = true; byId("offline").hidden = true; };
    source.onerror = () => {
      if (over) return;
      say(words.offline);
      if (source && source.readyState === EventSource.CLOSED) { close(); setTimeout(open, 3000); }
    };
  };
  const say = (text) => { put(byId("offline"), text); byId("offline").hidden = false; };
  const close = () => { source?.close(); source = null; };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()), { signal });
  signal.addEventListener("abort", () => { close(); byId("offline").hidden = true; });
  open();
}
