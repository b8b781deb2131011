// How texts of others are shown: names, metadata, reasons, names of modes, and errors that contain them. The rule is the
// server's, which gives it as a regular expression of characters that are invisible, change the direction of the line, or are
// not valid.
import { hidden } from './hidden.js';

// edges also has characters that cannot be seen in their place: a space at an end, and an accent with nothing before
// it.
export const edges = new RegExp(`${hidden.source}|(?<=^| )\\p{M}|^ | $`, 'gu');

const ascii = /^[\x20-\x7e]*$/;

function escape(char) {
  const short = new Map([['\n', '\\n'], ['\r', '\\r'], ['\t', '\\t']]).get(char);
  if (short) return short;
  const code = char.codePointAt(0);
  if (code >= 0xdc80 && code <= 0xdcff) return '\\x' + (code - 0xdc00).toString(16); // a byte that is not UTF-8
  if (code <= 0xff) return '\\x' + code.toString(16).padStart(2, '0');
  return code > 0xffff ? `\\u{${code.toString(16)}}` : '\\u' + code.toString(16).padStart(4, '0');
}

// safe is a text with escapes for what cannot be shown.
export const safe = (text) => (ascii.test(text) ? text : text.replace(hidden, escape));

// pieces splits a text into parts that can be shown and escapes, in turn. The first part may be empty.
export function pieces(text, rule = hidden) {
  const found = [''];
  let last = 0;
  for (const match of text.matchAll(rule)) {
    const between = text.slice(last, match.index);
    if (between || found.length === 1) {
      if (found.length > 1) found.push(between);
      else found[0] = between;
      found.push('');
    }
    found[found.length - 1] += escape(match[0]);
    last = match.index + match[0].length;
  }
  if (last < text.length) {
    if (found.length > 1) found.push(text.slice(last));
    else found[0] = text;
  }
  return found;
}

// plain is a text of others with escapes, as a string for titles and labels, cut to this many characters.
export function plain(text, most = Infinity) {
  const whole = ascii.test(text) && text.trim() === text ? text : text.replace(edges, escape);
  const chars = most < whole.length ? [...whole] : [];
  return chars.length > most ? chars.slice(0, most - 1).join('') + '…' : whole;
}

// ours is a text that the browser made, with all kinds of spaces and marks replaced by spaces.
export const ours = (text) => text.replace(hidden, ' ');
