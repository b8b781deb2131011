// All elements of the page are made here, from tags, properties and texts. Text stays text: it never becomes markup.
import { pieces, safe } from './safe.js';

// el makes an element. Properties that begin with "on" are listeners, "class" and all others attributes; null and false
// are left out. Children are nodes or texts.
export function el(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

const svgSpace = 'http://www.w3.org/2000/svg';

// svg is el for an <svg> and the elements in it.
export function svg(tag, properties, ...children) {
  return fill(document.createElementNS(svgSpace, tag), properties, children);
}

function fill(node, properties, children) {
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? '' : safe(String(value)));
  }
  node.append(...made(children));
  return node;
}

// made turns children into nodes. It is the only place where a text enters the page: characters that must not be shown
// become escapes in boxes, wherever the text came from.
const made = (children) => children.flat().filter((child) => child !== null && child !== undefined && child !== false).map((child) => (child instanceof Node ? child : boxed(String(child))));

// boxed turns a text into nodes, with its escapes in boxes.
export function boxed(text, rule) {
  const [first, ...rest] = pieces(text, rule);
  if (rest.length === 0) return document.createTextNode(first);
  const parts = document.createDocumentFragment();
  parts.append(first, ...rest.map((piece, i) => (i % 2 ? piece : el('span', { class: 'esc' }, piece))));
  return parts;
}

// put replaces the children of a node, add adds children, and set sets properties as el does.
export const put = (node, ...children) => node.replaceChildren(...made(children));
export const add = (node, ...children) => node.append(...made(children));
export const set = (node, properties) => fill(node, properties, []);

// setText writes a text only if it is new. An unchanged text is not announced by a screen reader, and a selection in
// it stays.
export function setText(node, text) {
  const shown = safe(text);
  if (node.textContent !== shown) node.textContent = shown;
}

// arrange sets the children of a node, in order. The child that has the focus is never removed, so that the focus
// stays; the others are put around it.
export function arrange(node, children) {
  const wanted = new Set(children);
  for (const child of [...node.children]) if (!wanted.has(child)) child.remove();
  const pivot = children.findIndex((child) => child.contains(document.activeElement) && child.parentNode === node);
  let at = pivot < 0 ? null : children[pivot];
  for (let i = pivot - 1; i >= 0; i--) {
    if (children[i].nextSibling !== at || children[i].parentNode !== node) node.insertBefore(children[i], at);
    at = children[i];
  }
  let after = pivot < 0 ? null : children[pivot];
  for (let i = pivot + 1; i < children.length; i++) {
    const next = after ? after.nextSibling : node.firstChild;
    if (next !== children[i]) node.insertBefore(children[i], next);
    after = children[i];
  }
}

// fillRows shows items in a <tbody>. Items that did not change keep their rows.
export function fillRows(body, items, keyOf, draw) {
  const known = body.known ?? new Map();
  const rows = new Map();
  for (const item of items) {
    const text = JSON.stringify(item);
    const old = known.get(keyOf(item));
    rows.set(keyOf(item), old && old.text === text ? old : { text, row: draw(item) });
  }
  body.known = rows;
  arrange(body, [...rows.values()].map(({ row }) => row));
}
