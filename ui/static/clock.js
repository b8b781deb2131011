// The clock of Redis, and times on the page that are kept up to date.
import { el, setText } from './dom.js';
import { ours } from './safe.js';
import { duration, time } from './text.js';

let ahead = null; // how far the clock of Redis is ahead of this machine's, in milliseconds

// heard stores the time of Redis. A message that is late makes the clock seem to be behind, so the largest difference of the
// last minute counts.
let samples = [];
export function heard(now) {
  if (!now) return;
  samples = samples.filter(({ at }) => Date.now() - at < 60_000);
  samples.push({ at: Date.now(), ahead: now - Date.now() });
  ahead = Math.max(...samples.map((sample) => sample.ahead));
}

// now is the time by the clock of Redis.
export const now = () => Date.now() + (ahead ?? 0);

// local converts a time of Redis to this machine's clock.
const local = (ms) => ms - (Math.abs(ahead) < 1000 ? 0 : ahead); // less is the time that a message takes, and would show 12:00 as 11:59:59

// since, until and moment show a time of Redis, and tick keeps them up to date.
export const since = (ms, extra) => timed('since', ms, extra);
export const until = (ms, extra) => timed('until', ms, extra);

function timed(kind, ms, extra) {
  const node = el('time', { ...extra, datetime: new Date(ms).toISOString(), title: ours(new Date(ms).toLocaleString()), [`data-${kind}`]: ms });
  tell(node);
  return node;
}

export function moment(ms) {
  return timed('moment', ms);
}

// rounded is a duration that is still running, without its milliseconds.
const rounded = (ms) => duration(Math.max(100, Math.round(ms / 100) * 100)).replace(/^(\d)00 ms$/, '0.$1 s');

function tell(node) {
  const { since: from, until: to, moment: at } = node.dataset;
  if (at) setText(node, time(local(Number(at))));
  else if (from) setText(node, rounded(now() - Number(from)));
  else if (Number(to) >= now()) setText(node, `in ${rounded(Number(to) - now())}`);
  else setText(node, `${rounded(now() - Number(to))} ago`);
}

// tick brings all times under a node up to date.
export function tick(root) {
  for (const node of root.querySelectorAll('time[data-since], time[data-until], time[data-moment]')) tell(node);
}
