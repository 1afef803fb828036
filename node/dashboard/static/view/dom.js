/** Making and keeping elements. Text only ever enters as text: the page's policy forbids markup from strings. */

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
export const at = (id) => document.getElementById(id);

/** Set text only where it changed: screen readers and the layout hear of real changes alone. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function set(element, name, value) {
  const text = value === null || value === undefined || value === false ? null : String(value);
  if (element.getAttribute(name) === text) return;
  if (text === null) element.removeAttribute(name);
  else element.setAttribute(name, text);
}

/** Children by key: made once, updated in place, removed when gone, in the order of `items`. */
export function keyed(parent, items, keyOf, make, update) {
  const kept = (parent.kept ??= new Map());
  const wanted = new Set(items.map(keyOf));
  for (const [key, element] of kept) {
    if (wanted.has(key)) continue;
    element.remove();
    kept.delete(key);
  }
  let before = null;
  for (const item of items) {
    const key = keyOf(item);
    let element = kept.get(key);
    if (!element) {
      element = make(item);
      kept.set(key, element);
    }
    const place = before ? before.nextSibling : parent.firstChild;
    if (place !== element) parent.insertBefore(element, place);
    update(element, item);
    before = element;
  }
}

export function clock(ms) {
  const date = new Date(ms);
  const two = (number) => String(number).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** What is kept in this browser between visits; a browser may refuse it. */
export const memory = {
  get(key) {
    try {
      return localStorage.getItem(`raft.${key}`);
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(`raft.${key}`, value);
    } catch {
      /* it is only a convenience */
    }
  },
};
