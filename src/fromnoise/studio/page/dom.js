// Elements, and numbers and times as people write them.

/** An element; `properties` are attributes, on... handlers, class, and true for an attribute without a value. */
export function h(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((one) => one !== null && one !== undefined && one !== false));
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Set text only where it differs, so that selections and screen readers are left alone. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function whole(value) {
  return value === null || value === undefined ? "–" : Math.round(value).toLocaleString(document.documentElement.lang);
}

/** A number in three significant digits: 0.0149, 5.91, 7,160. */
export function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e7)) return value.toExponential(digits - 1);
  const places = value === 0 ? 0 : Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString(document.documentElement.lang, { minimumFractionDigits: places, maximumFractionDigits: places });
}

export function percent(value) {
  return value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)} %`;
}

/** Large counts for axes: 12k, 3.5M. */
export function short(value) {
  const size = Math.abs(value);
  const [by, unit] = size >= 1e9 ? [1e9, "G"] : size >= 1e6 ? [1e6, "M"] : size >= 1e4 ? [1e3, "k"] : [1, ""];
  return `${Number((value / by).toPrecision(3))}${unit}`;
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  return value >= 1e9 ? `${(value / 1e9).toFixed(2)} GB` : `${(value / 1e6).toFixed(0)} MB`;
}

const UNITS = { en: ["h", "min", "s"], "zh-CN": ["小时", "分", "秒"] };

/** 42 s, 3 min 05 s, 2 h 07 min, in the page's language. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const all = Math.round(seconds), two = (value) => String(value).padStart(2, "0"), [hours, minutes, short] = UNITS[document.documentElement.lang];
  if (all < 60) return `${all} ${short}`;
  if (all < 3600) return `${Math.floor(all / 60)} ${minutes} ${two(all % 60)} ${short}`;
  return `${Math.floor(all / 3600)} ${hours} ${two(Math.floor((all % 3600) / 60))} ${minutes}`;
}

/** How long ago a time was, in the page's language. */
export function ago(time) {
  if (!time) return "–";
  const seconds = Math.max(0, Date.now() / 1000 - time), words = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (seconds >= size) return words.format(-Math.floor(seconds / size), unit);
  }
  return words.format(-Math.floor(seconds), "second");
}

/** A command with a button that copies it. */
export function command(text, words) {
  const code = h("code", { tabindex: "0" }, text);
  const button = h("button", { type: "button" }, words.copy);
  button.onclick = async () => {
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else getSelection().selectAllChildren(code);
    button.textContent = words.copied;
    setTimeout(() => { button.textContent = words.copy; }, 1500);
  };
  return h("div", { class: "command" }, code, button);
}
