// Names, owners and times as texts.
import { boxed, el } from './dom.js';
import { edges, ours } from './safe.js';

export { plain } from './safe.js';

// nameOf is the name of a lock, from its id, which is the percent-encoded name. Bytes that are not UTF-8 become lone
// surrogates, U+DC80 to U+DCFF, which no valid text has.
export function nameOf(id) {
  return id.includes('%') || /[^\x00-\x7f]/.test(id) ? textOf(bytesOf(id)) : id;
}

const encoder = new TextEncoder();

// bytesOf returns the bytes of an id. The server's ids are ASCII; one that was typed into the address may not be.
function bytesOf(id) {
  const raw = encoder.encode(id);
  let n = 0;
  for (let i = 0; i < raw.length; i++) {
    const value = raw[i] === 0x25 && i + 2 < raw.length ? (digit(raw[i + 1]) << 4) | digit(raw[i + 2]) : -1;
    if (value >= 0) i += 2;
    raw[n++] = value >= 0 ? value : raw[i];
  }
  return raw.subarray(0, n);
}

// digit is the value of a hexadecimal digit, or -1, which stays negative when it is combined with another.
function digit(code) {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

// idOf is the id of a text. nameOf of it gives the text again.
export const idOf = (text) => Array.from(text, (char) => {
  const code = char.codePointAt(0);
  return code >= 0xdc80 && code <= 0xdcff ? '%' + (code - 0xdc00).toString(16).toUpperCase() : code >= 0xd800 && code <= 0xdfff ? '%EF%BF%BD' : encodeURIComponent(char);
}).join('');

// textOf decodes UTF-8 in one pass. A decoder that throws an error at each invalid byte would take minutes for a list
// of names that somebody made of such bytes.
function textOf(bytes) {
  let text = '';
  let units = [];
  for (let i = 0; i < bytes.length; ) {
    const first = bytes[i];
    const size = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : (first & 0xf0) === 0xe0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
    let code = size === 1 ? first : first & (0x7f >> size);
    let at = 1;
    for (; at < size && (bytes[i + at] & 0xc0) === 0x80; at++) code = (code << 6) | (bytes[i + at] & 0x3f);
    const wrong = at < size || size === 0 || (size === 3 && (code < 0x800 || (code >= 0xd800 && code < 0xe000))) || (size === 4 && (code < 0x10000 || code > 0x10ffff));
    if (wrong) units.push(0xdc00 + first);
    else if (code > 0xffff) units.push(0xd7c0 + (code >> 10), 0xdc00 | (code & 0x3ff));
    else units.push(code);
    i += wrong ? 1 : size;
    if (units.length >= 4096) { // about as many as one call can take
      text += String.fromCharCode(...units);
      units = [];
    }
  }
  return text + String.fromCharCode(...units);
}

// canonical is the spelling of an id that the server uses.
export function canonical(id) {
  return Array.from(bytesOf(id), (byte) => {
    const char = String.fromCharCode(byte);
    return /[A-Za-z0-9\-_.~$&+=:@]/.test(char) ? char : '%' + byte.toString(16).toUpperCase().padStart(2, '0');
  }).join('');
}

// shown turns a text of others into nodes, with its escapes in boxes.
export const shown = (text) => el('span', { class: 'text' }, boxed(text, edges));

// ownerText names an owner in one line. ownerShown does the same with nodes.
export function ownerText(owner) {
  if (!owner) return '';
  const process = [owner.pid ? `pid ${owner.pid}` : '', owner.host ?? ''].filter(Boolean).join(' on ');
  const where = [process, owner.turns ? 'in turns' : ''].filter(Boolean).join(', ');
  return [owner.client ?? (where ? '' : 'someone'), where && `(${where})`].filter(Boolean).join(' ');
}

export const ownerShown = (owner) => shown(ownerText(owner));

const units = [['d', 86400], ['h', 3600], ['m', 60], ['s', 1]];

// duration writes milliseconds for people, in the two largest units.
export function duration(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  const i = units.findIndex(([, size]) => whole >= size);
  const [unit, size] = units[i];
  const rest = units[i + 1];
  if (!rest) return `${whole} s`;
  return `${Math.floor(whole / size)} ${unit} ${String(Math.floor((whole % size) / rest[1])).padStart(2, '0')} ${rest[0]}`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const day = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' });

// time is a moment in this browser's time zone, with the day if that is not today.
export function time(ms, now = Date.now()) {
  const at = new Date(ms);
  const text = ours(clock.format(at));
  return new Date(now).toDateString() === at.toDateString() ? text : `${ours(day.format(at))}, ${text}`;
}

export const number = (n) => n.toLocaleString('en');
export const count = (n, one, many) => `${number(n)} ${n === 1 ? one : many}`;
