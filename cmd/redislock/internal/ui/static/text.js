// Names and metadata are written by others. Here they become what can be read without harm: characters that are
// invisible, steer the line or are none at all are shown as escapes in boxes.
import { el } from './dom.js';

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

// nameOf is the name of a lock's id, its percent-encoding. Bytes that are not UTF-8 become lone surrogates, U+DC80 to
// U+DCFF, which no valid text has.
export function nameOf(id) {
  const bytes = bytesOf(id);
  try {
    return strict.decode(bytes);
  } catch {
    return loose(bytes);
  }
}

function bytesOf(id) {
  const bytes = [];
  for (let i = 0; i < id.length; i++) {
    const hex = id[i] === '%' ? id.slice(i + 1, i + 3) : '';
    if (/^[0-9a-f]{2}$/i.test(hex)) {
      bytes.push(parseInt(hex, 16));
      i += 2;
    } else {
      bytes.push(...new TextEncoder().encode(String.fromCodePoint(id.codePointAt(i))));
      if (id.codePointAt(i) > 0xffff) i++;
    }
  }
  return new Uint8Array(bytes);
}

function loose(bytes) {
  let text = '';
  for (let i = 0; i < bytes.length; ) {
    let size = 4;
    for (; size > 0; size--) {
      try {
        text += strict.decode(bytes.subarray(i, i + size));
        break;
      } catch {
        // a shorter piece may be valid
      }
    }
    if (size === 0) text += String.fromCharCode(0xdc00 + bytes[i]);
    i += Math.max(size, 1);
  }
  return text;
}

// canonical is the one spelling of an id, as the server has it.
export function canonical(id) {
  return [...bytesOf(id)].map((byte) => {
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

// shown is a text as nodes, with its escapes in boxes.
export function shown(text) {
  const parts = document.createDocumentFragment();
  let last = 0;
  for (const match of text.matchAll(hidden)) {
    if (match.index > last) parts.append(text.slice(last, match.index));
    parts.append(el('span', { class: 'esc' }, escape(match[0])));
    last = match.index + match[0].length;
  }
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
