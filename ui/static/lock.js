// The page of one lock.
import { ask, breakLock } from './actions.js';
import { moment, since, tick, until } from './clock.js';
import { add, el, fillRows, put, setText } from './dom.js';
import { processShown } from './process.js';
import { listAddress } from './locks.js';
import { store } from './store.js';
import { look } from './stream.js';
import { count, duration, nameOf, number, shown } from './text.js';
import { timeLine } from './timeline.js';
import { stepsOf, words } from './trouble.js';

const kindsOfEvents = {
  held: 'was held when first looked at', acquired: 'acquired', 'handed over': 'handed over to', upgraded: 'upgraded', 'handed off': 'handed off to',
  revoked: 'is being stolen from', stolen: 'ended, being stolen', broken: 'broken from here', 'perhaps broken': 'ended, perhaps broken from here: no answer came',
  released: 'released', lost: 'gone with its key, which was deleted or lost',
  kept: 'given back, and kept for a while', 'kept time over': 'kept time over', asked: 'holders asked to give it up',
  unseen: 'held meanwhile, not seen',
};

// whatOf says what happened, only as far as the item shows it.
function whatOf({ kind, deadline, told, by }) {
  if (told && kind === 'broken') return by ? ['broken by ', shown(by)] : 'broken, says the holder';
  if (told && kind === 'asked') return by ? ['asked to give it up, by ', shown(by)] : 'asked to give it up';
  if (told && (kind === 'lost' || kind === 'stolen')) return kind === 'lost' ? 'lost it, says the holder' : 'was robbed of it, says the holder';
  if (kind !== 'ended') return kindsOfEvents[kind] ?? kind;
  return deadline ? 'ended, not seen how: released, or not renewed' : 'released';
}

export function lockPage(main, id) {
  const name = nameOf(id);
  const facts = el('dl', { class: 'facts' });
  const problem = el('p', { class: 'alert', role: 'alert', hidden: true });
  const holders = table('Held by', ['Holder', 'Metadata', 'Held for', 'Deadline', 'Mode', 'Fence']);
  const queue = table('Queue', ['Place', 'Waiter', 'Metadata', 'Waiting for', 'Mode']);
  const history = table('History', ['Time', 'What', 'Who', 'Details']);
  const unsure = el('p', { class: 'note', hidden: true }, 'Looks do not show everything: “released” and “held meanwhile” can also be a break by somebody else.');
  add(history.section, unsure);
  const line = timeLine();
  const advice = el('section', { class: 'part part-advice', hidden: true });
  const buttons = el('div', { class: 'actions', hidden: true },
    el('button', { type: 'button', id: 'ask', onclick: () => ask(id, name) }, 'Ask the holders…'),
    el('button', { type: 'button', id: 'break', class: 'danger', onclick: () => breakLock(id, name) }, 'Break…'));
  add(main,
    el('p', { class: 'back' }, el('a', { href: listAddress(), id: 'back' }, '← All locks')),
    el('div', { class: 'head' }, el('h1', { tabindex: '-1', class: 'name' }, shown(name)), buttons),
    problem, facts, advice, holders.section, queue.section, line.section, history.section);
  look(id);

  function update() {
    buttons.hidden = !store.hello?.allowBreak;
    const lock = store.lock;
    if (!lock) {
      put(facts, el('dt', null, 'State'), el('dd', null, 'loading'));
      return;
    }
    problem.hidden = !lock.error;
    setText(problem, lock.error ?? '');
    for (const button of buttons.children) button.disabled = lock.held === 0;
    const kept = lock.holds.length > 0 && lock.holds.every((hold) => hold.kept) ? Math.max(...lock.holds.map(({ deadline }) => deadline)) : 0;
    const state = lock.holds.some(({ revoked }) => revoked) ? 'revoked: being stolen' : kept ? 'given back, kept until ' : lock.held ? 'held' : lock.waiting ? 'free, with a queue' : lock.fence || store.jobs?.some((job) => `cron:${job.id}` === id) ? 'free' : 'free; Redis knows no lock of this name';
    const text = JSON.stringify([state, lock.stops, kept, lock.held, lock.waiting, lock.fence, lock.limit]);
    if (facts.text !== text) {
      facts.text = text;
      put(facts, ...[['State', kept ? [state, moment(kept)] : [state, lock.stops ? el('b', null, `, but ${lock.stops}`) : '']], ['Holders', number(lock.held)], ['Waiting', number(lock.waiting)], ['Last fence', lock.fence ? String(lock.fence) : 'none remembered'],
        ...(lock.limit ? [['Limit', limitOf(lock.limit)]] : [])]
        .flatMap(([term, value]) => [el('dt', null, term), el('dd', null, ...[value].flat())]));
    }
    const said = JSON.stringify([lock.means, lock.steps, store.trouble?.locks[id] ?? '']);
    if (advice.text !== said) {
      advice.text = said;
      advice.hidden = lock.means.length === 0;
      advice.className = `part part-advice ${store.trouble?.locks[id] ?? ''}`;
      put(advice, el('h2', null, 'What it means'), el('div', { class: 'why' }, lock.means.map((text) => el('p', null, ...words(text)))),
        ...(lock.steps.length ? [el('h2', null, 'What can be done'), stepsOf(lock.steps)] : []));
    }
    holders.show(lock.holds, lock.held, (hold) => hold.fence, (hold) => [
      [processShown(hold.owner), trace(hold.owner)], meta(hold.owner), since(hold.since), deadlineOf(hold),
      modeOf(hold), el('code', null, String(hold.fence)),
    ], 'Nobody holds it.');
    queue.show(lock.places.map((place, i) => ({ ...place, at: i + 1 })), lock.waiting, (place) => place.at, (place) => [
      String(place.at), [processShown(place.owner), trace(place.owner)], meta(place.owner), place.since ? since(place.since) : 'to become the writer', modeOf(place),
    ], 'Nobody waits.');
    const items = lock.history.filter(({ kind }) => kind !== 'queue').toReversed(); // the time line shows the queue
    history.show(items, items.length, (item) => item.n, (item) => [
      moment(item.at), el('span', { class: `event was-${item.kind.replaceAll(' ', '-')}` }, whatOf(item)),
      item.owner ? [processShown(item.owner), item.owner.meta ? el('span', { class: 'meta' }, shown(item.owner.meta)) : ''] : '', details(item),
    ], 'Nothing was seen to happen yet. What happens from now on is shown here.');
    unsure.hidden = !items.some(({ kind, deadline }) => kind === 'unseen' || (kind === 'ended' && !deadline));
    line.show(lock);
  }
  update();
  return {
    title: name,
    on: { lock: update, hello: update, trouble: update, jobs: update },
    tick: () => { tick(main); line.draw(); },
    focus: () => false,
    leave: () => { line.end(); look(''); },
  };
}

function deadlineOf({ deadline, revoked, kept }) {
  if (kept) return [el('span', { class: 'tag given-back' }, 'given back'), ' kept until ', moment(deadline)];
  return [until(deadline), revoked ? el('span', { class: 'tag revoked' }, 'revoked') : ''];
}

const meta = (owner) => (owner.meta ? el('span', { class: 'meta' }, shown(owner.meta)) : '');
const trace = (owner) => (owner.trace ? el('code', { class: 'trace' }, shown(owner.trace)) : '');
const modeOf = ({ mode, weight }) => [shown(mode), weight > 1 ? ` × ${number(weight)}` : ''];

const limitOf = ({ rules, until: end }) => [...rules.flatMap(({ most, modes }, i) => [i ? ', ' : '', `at most ${number(most)} `, shown(modes.join('+'))]), ', until ', moment(end)];

const seenAtOnce = 2000; // milliseconds: between two looks that are no further apart, one time is shown and not two

function details(item) {
  const parts = [];
  const vague = item.from && item.at - item.from > seenAtOnce;
  if (item.waited) parts.push(`after waiting ${duration(item.waited)}`);
  if (item.since) parts.push(`held for ${vague ? `${duration(Math.max(0, item.from - item.since))} to ` : ''}${duration(item.at - item.since)}`);
  if (vague) parts.push(['between ', moment(item.from), ' and ', moment(item.at)]);
  if (item.deadline) parts.push(['its lease, as last seen, ran until ', moment(item.deadline)]);
  if (item.why) parts.push(el('q', null, shown(item.why)));
  if (item.fence) parts.push(el('code', null, `fence ${item.fence}`));
  return parts.flatMap((part, i) => [i ? ', ' : '', part].flat());
}

// table is a section with a table and a note about rows that are not shown.
function table(title, columns) {
  const body = el('tbody');
  const note = el('p', { class: 'note' });
  const heading = el('h2', null, title);
  const whole = el('table', { class: 'small', 'aria-label': title }, el('thead', null, el('tr', null, columns.map((column) => el('th', { scope: 'col' }, column)))), body);
  return {
    section: el('section', { class: `part part-${title.toLowerCase().replace(' ', '-')}` }, heading, el('div', { class: 'wide' }, whole), note),
    show(items, total, keyOf, cells, none) {
      fillRows(body, items, keyOf, (item) => el('tr', null, cells(item).map((cell, i) => el('td', { 'data-column': columns[i] }, el('div', { class: 'value' }, ...[cell].flat())))));
      whole.hidden = items.length === 0;
      setText(note, items.length === 0 ? none : total > items.length ? `${count(total - items.length, 'more is', 'more are')} not shown.` : '');
      note.hidden = note.textContent === '';
    },
  };
}
