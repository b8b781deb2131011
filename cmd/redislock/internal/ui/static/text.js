// Names and metadata are written by others. Here they become what can be read without harm: characters that are
// invisible, steer the line or are none at all are shown as escapes in boxes.
import { el } from './dom.js';

// nameOf is the name of a lock's id, its percent-encoding. Bytes that are not UTF-8 become lone surrogates, U+DC80 to
// U+DCFF, which no valid text has.
export function nameOf(id) {
  return id.includes('%') || /[^\x00-\x7f]/.test(id) ? textOf(bytesOf(id)) : id;
}

const encoder = new TextEncoder();

// bytesOf is what an id stands for. The server's ids are ASCII; one that was typed into the address may not be.
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

// digit is the value of a hexadecimal one, or -1, which stays negative whatever it is joined with.
function digit(code) {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

// textOf decodes UTF-8 in one pass: a decoder that throws at each byte that is none would take minutes for a list of
// names that somebody made of such bytes.
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
    if (units.length >= 4096) { // as many as a call takes
      text += String.fromCharCode(...units);
      units = [];
    }
  }
  return text + String.fromCharCode(...units);
}

// canonical is the one spelling of an id, as the server has it.
export function canonical(id) {
  return Array.from(bytesOf(id), (byte) => {
    const char = String.fromCharCode(byte);
    return /[A-Za-z0-9\-_.~$&+=:@]/.test(char) ? char : '%' + byte.toString(16).toUpperCase().padStart(2, '0');
  }).join('');
}

// Controls, formats (bidirectional overrides, zero widths, tags), private and unassigned ones, lone surrogates, line and
// paragraph separators, spaces that are none of ours, and letters that are blank.
const hidden = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}]|(?! )\p{Zs}|[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0]/gu;

function escape(char) {
  const short = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[char];
  if (short) return short;
  const code = char.codePointAt(0);
  if (code >= 0xdc80 && code <= 0xdcff) return '\\x' + (code - 0xdc00).toString(16);
  if (code <= 0xff) return '\\x' + code.toString(16).padStart(2, '0');
  return code > 0xffff ? `\\u{${code.toString(16)}}` : '\\u' + code.toString(16).padStart(4, '0');
}

// plain is a text as a text, for titles and labels, at most this many characters of it.
export function plain(text, most = Infinity) {
  const whole = text.replace(hidden, escape);
  const chars = most < whole.length ? [...whole] : [];
  return chars.length > most ? chars.slice(0, most - 1).join('') + '…' : whole;
}

// shown is a text as nodes, with its escapes in boxes: one box for those that follow each other.
export function shown(text) {
  const parts = document.createDocumentFragment();
  let last = 0;
  let boxed = '';
  const box = () => {
    if (boxed) parts.append(el('span', { class: 'esc' }, boxed));
    boxed = '';
  };
  for (const match of text.matchAll(hidden)) {
    if (match.index > last) {
      box();
      parts.append(text.slice(last, match.index));
    }
    boxed += escape(match[0]);
    last = match.index + match[0].length;
  }
  box();
  parts.append(text.slice(last));
  return el('span', { class: 'text' }, parts);
}

// ownerText is who it is, in a line; ownerShown the same as nodes.
export function ownerText(owner) {
  if (!owner) return '';
  const where = [owner.pid ? `pid ${owner.pid}` : '', owner.host ?? ''].filter(Boolean).join(' on ');
  return [owner.client ?? (where ? '' : 'someone'), where && `(${where})`].filter(Boolean).join(' ');
}

export const ownerShown = (owner) => shown(ownerText(owner));

const units = [['d', 86400], ['h', 3600], ['m', 60], ['s', 1]];

// duration is a time in milliseconds as people want it: its two largest units.
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
  const text = clock.format(at);
  return new Date(now).toDateString() === at.toDateString() ? text : `${day.format(at)}, ${text}`;
}

export const number = (n) => n.toLocaleString('en').replaceAll(',', '\u202f');
export const count = (n, one, many) => `${number(n)} ${n === 1 ? one : many}`;
