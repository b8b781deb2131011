// The time line of a lock: who held it when, with a lane for each hold at a time, and how long the queue was.
import { now } from './clock.js';
import { add, el, put, set, setText, svg } from './dom.js';
import { count, ownerText, plain, time } from './text.js';

const lane = 24;
const queueHeight = 52;
const maxLanes = 16;
const ranges = [[1, '1 min'], [5, '5 min'], [15, '15 min'], [60, '1 h'], [1440, '24 h']];
let range = 5; // minutes; the choice is kept

export function timeLine() {
  const picture = svg('svg', { class: 'timeline', role: 'img', 'aria-label': 'Time line' });
  const note = el('p', { class: 'note' });
  const choice = el('fieldset', { class: 'chips' }, el('legend', { class: 'unseen' }, 'How much of the time line'), ranges.map(([minutes, name]) => {
    const radio = el('input', { type: 'radio', name: 'range', value: minutes, onchange: () => { range = minutes; draw(); } });
    radio.checked = minutes === range;
    return el('label', { class: 'chip' }, radio, name);
  }));
  const box = el('div', { class: 'picture' }, picture);
  const section = el('section', { class: 'part' }, el('div', { class: 'head' }, el('h2', null, 'Time line'), choice), box, note);
  const observer = new ResizeObserver(() => draw());
  observer.observe(box);
  let lock = null;

  function draw() {
    if (!lock || !box.clientWidth) return;
    const width = box.clientWidth;
    const left = width < 560 ? 0 : 190;
    const end = now();
    const begin = end - range * 60_000;
    const x = (at) => left + ((Math.min(Math.max(at, begin), end) - begin) / (end - begin)) * (width - left);
    const spans = spansOf(lock, begin, end);
    const { lanes, left: undrawn } = lanesOf(spans);
    const step = left ? lane : lane + 16;
    const base = lanes.length * step + 6;
    const height = base + queueHeight + 26;
    const parts = [axis(begin, end, x, height)];
    for (const [from, to] of lock.blind ?? []) {
      if (to > begin) parts.push(svg('rect', { class: 'blind', x: x(from), y: 0, width: Math.max(0, x(to) - x(from)), height: height - 20 }, svg('title', null, 'Not known')));
    }
    lanes.forEach(({ name, colour, spans: own }, i) => {
      const y = i * step;
      const label = svg('text', { class: 'label', x: 0, y: y + 16 }, plain(name, left ? 26 : 44));
      add(label, svg('title', null, plain(name, 300)));
      parts.push(label, svg('line', { class: 'lane', x1: left, x2: width, y1: y + step - 0.5, y2: y + step - 0.5 }));
      for (const span of own) {
        const from = x(span.from);
        const seen = x(span.seen ?? span.to ?? end);
        const vague = span.to && span.seen && span.to - span.seen > 1000;
        const what = !span.how ? 'holds it now' : vague ? `seen until ${time(span.seen)}, ${span.how} by ${time(span.to)}` : `${span.how} ${time(span.to)}`;
        const title = () => svg('title', null, `${plain(name, 200)}: from ${time(span.from)}, ${what}, fence ${span.fence}`);
        const top = { y: y + step - lane + 4, height: lane - 8, rx: 3 };
        if (vague) parts.push(svg('rect', { class: `span s${colour} unsure`, x: seen, width: Math.max(2, x(span.to) - seen), ...top }, title()));
        parts.push(svg('rect', { class: `span s${colour} ${(span.how ?? 'now').replaceAll(' ', '-')}`, x: from, width: Math.max(2, seen - from), ...top }, title()));
      }
    });
    parts.push(...queueArea(lock, begin, end, x, base, left));
    set(picture, { viewBox: `0 0 ${width} ${height}` });
    set(picture, { width: width });
    set(picture, { height: height });
    const text = `The last ${count(range, 'minute', 'minutes')}: ${count(spans.length, 'hold', 'holds')} of ${count(new Set(lanes.map(({ name }) => name)).size, 'holder', 'holders')}, ${count(lock.waiting, 'waits', 'wait')} now. The history below says who held it in words.`;
    if (picture.getAttribute('aria-label') !== text) set(picture, { 'aria-label': text });
    put(picture, ...parts);
    const unseen = (lock.blind ?? []).some(([, to]) => to > begin);
    setText(note, (!spans.length ? 'Nobody was seen to hold it in this time.' : unseen ? 'Where it is shaded nothing is known: no page was open, Redis did not answer, or it is too long ago to be kept.' : '') +
      (spans.some(({ to, seen }) => to && to - seen > 1000) ? ' A pale end of a hold is the time in which it ended, at a moment that was not seen.' : '') +
      (undrawn ? ` ${count(undrawn, 'hold more is', 'holds more are')} not drawn.` : ''));
  }

  return { section, draw, show: (detail) => { lock = detail; draw(); }, end: () => observer.disconnect() };
}

// spansOf returns the holds within a time: those of the history, which have ended, and the present ones.
function spansOf(lock, begin, end) {
  const spans = [];
  for (const item of lock.history) {
    if (item.since && item.at > begin) spans.push({ owner: item.owner, from: item.since, seen: item.from ?? item.at, to: item.at, fence: item.fence, how: item.kind });
  }
  for (const hold of lock.holds) if (hold.since < end) spans.push({ owner: hold.owner, from: hold.since, to: null, fence: hold.fence, how: null });
  return spans;
}

// lanesOf puts each hold into a lane of its owner in which there is no other at the same time, the latest first. Holds that do
// not fit into maxLanes are left out.
function lanesOf(spans) {
  const owners = new Map();
  let room = maxLanes;
  let left = 0;
  for (const span of spans.toSorted((a, b) => b.from - a.from)) {
    const name = ownerText(span.owner) + (span.owner?.meta ? `: ${span.owner.meta}` : '');
    const own = owners.get(name) ?? { colour: owners.size % 6, lanes: [] };
    let lane = own.lanes.find(({ spans: others }) => others.at(-1).from >= (span.to ?? Infinity));
    if (!lane && room === 0) {
      left++;
      continue;
    }
    owners.set(name, own);
    if (!lane) {
      room--;
      own.lanes.push(lane = { name, colour: own.colour, spans: [] });
    }
    lane.spans.push(span);
  }
  return { lanes: [...owners.values()].flatMap(({ lanes }) => lanes), left };
}

function axis(begin, end, x, height) {
  const minute = 60_000;
  const step = end - begin > 90 * minute ? 120 * minute : end - begin > 20 * minute ? 10 * minute : end - begin > 6 * minute ? 5 * minute : end - begin > 2 * minute ? minute : minute / 4;
  const group = svg('g', { class: 'axis' });
  let room = 28; // the first place for the middle of a label
  for (let at = Math.ceil(begin / step) * step; at < end; at += step) {
    add(group, svg('line', { x1: x(at), x2: x(at), y1: 0, y2: height - 20 }));
    if (x(at) < room || x(at) > x(end) - 26) continue;
    add(group, svg('text', { x: x(at), y: height - 5, 'text-anchor': 'middle' }, time(at)));
    room = x(at) + 70;
  }
  return group;
}

// queueArea draws the length of the queue as steps.
function queueArea(lock, begin, end, x, base, left) {
  const samples = lock.history.map(({ at, queue }) => ({ at, queue })).toSorted((a, b) => a.at - b.at);
  let length = samples.findLast(({ at }) => at <= begin)?.queue;
  const steps = samples.filter(({ at }) => at > begin && at <= end);
  length ??= steps.length ? 0 : lock.waiting;
  const most = Math.max(1, lock.waiting, length, ...steps.map(({ queue }) => queue));
  const y = (n) => base + 14 + (queueHeight - 16) * (1 - n / most);
  let path = `M${x(begin)},${y(0)} V${y(length)}`;
  for (const { at, queue } of steps) path += ` H${x(at)} V${y(queue)}`;
  path += ` H${x(end)} V${y(0)} Z`;
  return [
    svg('path', { class: 'queue', d: path }),
    svg('text', { class: 'label', x: 0, y: base + (left ? queueHeight - 6 : 8) }, left ? 'queue' : `queue, at most ${most}`),
    left ? svg('text', { class: 'scale', x: left - 6, y: base + 20, 'text-anchor': 'end' }, String(most)) : '',
  ];
}
