// What one process holds and waits for, and who keeps it waiting. It is taken from the list of locks, which has the first
// holders and waiters of each.
import { since, tick, until } from './clock.js';
import { add, el, fillRows, setText } from './dom.js';
import { store } from './store.js';
import { count, idOf, nameOf, number, ownerText, plain, shown } from './text.js';

// keyOf is a key of a process, the same for all of its Clients: its host and its number.
const keyOf = (owner) => `${owner.host ?? ''}/${owner.pid ?? 0}`;
const addressOf = (owner) => `#/process/${idOf(keyOf(owner))}`;

// processShown shows an owner as a link to its process.
export const processShown = (owner) => (owner && (owner.host || owner.pid) ? el('a', { href: addressOf(owner), class: 'process' }, shown(ownerText(owner))) : shown(ownerText(owner)));

const holdersOf = (lock) => (lock.owner ? [{ ...lock.owner, since: lock.since, deadline: lock.kept ? 0 : lock.deadline, kept: lock.kept }, ...(lock.others ?? [])] : []);

// processes are all processes that hold or wait, by their keys.
function processes() {
  const all = new Map();
  const of = (owner) => {
    const key = keyOf(owner);
    if (!all.has(key)) all.set(key, { key, id: idOf(key), owner: { ...owner, turns: false }, clients: new Set(), holds: [], waits: [] });
    const process = all.get(key);
    if (owner.client) process.clients.add(owner.client);
    return process;
  };
  for (const lock of store.locks.values()) {
    for (const owner of holdersOf(lock)) of(owner).holds.push({ lock, ...owner });
    for (const [i, owner] of (lock.waiters ?? []).entries()) of(owner).waits.push({ lock, place: i + 1, since: owner.since });
  }
  return all;
}

const nameOfProcess = ({ owner, clients }) => ownerText({ ...owner, client: [...clients].join(', ') || undefined });

// chainOf says who holds a lock, what that holder waits for, and so on, until a holder waits for nothing, or for one that was named
// already.
function chainOf(lock, all, seen) {
  const holders = holdersOf(lock);
  if (!holders.length) return [el('span', { class: 'faint' }, 'nobody: it goes to the first who waits')];
  return [el('ul', { class: 'chain' }, holders.map((owner) => {
    const key = keyOf(owner);
    const waits = all.get(key)?.waits ?? [];
    return el('li', null, processShown(owner), owner.since ? [' since ', since(owner.since)] : '', lock.kept ? ' (given back)' : '',
      seen.has(key) ? el('span', { class: 'tag bad' }, 'a ring: it waits for what is held by who waits for it')
        : waits.slice(0, 5).map((wait) => el('div', null, 'which waits for ', lockShown(wait.lock), ', held by ', ...chainOf(wait.lock, all, new Set([...seen, key])))));
  }))];
}

const lockShown = (lock) => el('a', { href: `#/lock/${lock.id}`, class: 'lock' }, shown(lock.name));

function part(title, columns) {
  const body = el('tbody');
  const note = el('p', { class: 'note' });
  const whole = el('table', { class: 'small', 'aria-label': title }, el('thead', null, el('tr', null, columns.map((column) => el('th', { scope: 'col' }, column)))), body);
  return {
    section: el('section', { class: `part part-${title.toLowerCase().replaceAll(' ', '-')}` }, el('h2', null, title), el('div', { class: 'wide' }, whole), note),
    show(items, key, cells, none) {
      fillRows(body, items, key, (item) => el('tr', null, cells(item).map((cell, i) => el('td', { 'data-column': columns[i] }, el('div', { class: 'value' }, ...[cell].flat())))));
      whole.hidden = items.length === 0;
      setText(note, items.length ? '' : none);
      note.hidden = items.length > 0;
    },
  };
}

// processPage is the page of one process.
export function processPage(main, id) {
  const key = nameOf(id);
  const title = el('h1', { tabindex: '-1', class: 'name' });
  const lead = el('p', { class: 'lead' });
  const waits = part('Waits for', ['Lock', 'Waiting for', 'Place', 'Blocked by']);
  const holds = part('Holds', ['Lock', 'Held for', 'Deadline', 'Keeps waiting']);
  add(main, el('p', { class: 'back' }, el('a', { href: '#/processes' }, '← All processes')), title, lead, waits.section, holds.section);
  const cut = key.lastIndexOf('/');
  const named = { host: key.slice(0, cut), pid: Number(key.slice(cut + 1)) || 0 };
  function update() {
    const all = processes();
    const process = all.get(key) ?? { owner: named, clients: new Set(), holds: [], waits: [] };
    setText(title, plain(nameOfProcess(process), 300));
    setText(lead, !store.complete ? 'Loading.' : process.holds.length + process.waits.length === 0 ? 'It holds nothing and waits for nothing now, as far as this prefix goes.'
      : `It holds ${count(process.holds.length, 'lock', 'locks')} and waits for ${count(process.waits.length, 'lock', 'locks')}. Of each lock the first ten holders and waiters count.`);
    // A row of a wait also depends on other locks.
    const told = process.waits.map((wait) => ({ id: wait.lock.id, place: wait.place, since: wait.since, chain: JSON.stringify(chainKey(wait.lock, all, new Set([key]))) }));
    waits.show(told, (wait) => `${wait.id} ${wait.place}`, ({ id: lock, place, since: from }) => [
      lockShown(store.locks.get(lock)), from ? since(from) : 'to become the writer', String(place), chainOf(store.locks.get(lock), all, new Set([key])),
    ], 'It waits for nothing.');
    holds.show(process.holds.map((hold) => ({ id: hold.lock.id, since: hold.since, deadline: hold.deadline, waiting: hold.lock.waiting ?? 0, who: (hold.lock.waiters ?? []).slice(0, 3) })), (hold) => `${hold.id} ${hold.since}`,
      (hold) => [lockShown(store.locks.get(hold.id)), hold.since ? since(hold.since) : '', hold.deadline ? until(hold.deadline) : '',
        hold.waiting ? [...hold.who.flatMap((owner, i) => [i ? ', ' : '', processShown(owner)]), hold.waiting > hold.who.length ? ` and ${number(hold.waiting - hold.who.length)} more` : ''] : el('span', { class: 'faint' }, 'nobody')], 'It holds nothing.');
  }
  update();
  return { title: key, on: { locks: update, status: update, hello: update }, tick: () => tick(main) };
}

// chainKey changes when the result of chainOf does.
function chainKey(lock, all, seen) {
  return holdersOf(lock).map((owner) => [keyOf(owner), owner.since, seen.has(keyOf(owner)) ? 'ring'
    : (all.get(keyOf(owner))?.waits ?? []).slice(0, 5).map((wait) => [wait.lock.id, chainKey(wait.lock, all, new Set([...seen, keyOf(owner)]))])]);
}

const most = 300; // processes in the list

// processesPage is the page of all processes, with those that keep others waiting first.
export function processesPage(main) {
  const all = part('Processes', ['Process', 'Holds', 'Waits for', 'Waiting for', 'Keeps waiting']);
  const lead = el('p', { class: 'lead' });
  add(main, el('h1', { tabindex: '-1' }, 'Processes'), lead, all.section);
  all.section.querySelector('h2').hidden = true;
  function update() {
    const list = [...processes().values()].map((process) => ({
      id: process.id, name: nameOfProcess(process), owner: { ...process.owner, client: [...process.clients].join(', ') || undefined }, holds: process.holds.length, waits: process.waits.length,
      longest: process.waits.reduce((first, { since: from }) => (from && (!first || from < first) ? from : first), 0),
      keeps: process.holds.reduce((sum, { lock }) => sum + (lock.waiting ?? 0), 0),
    })).sort((a, b) => b.keeps - a.keeps || (a.longest || Infinity) - (b.longest || Infinity) || b.holds - a.holds || (a.id < b.id ? -1 : 1));
    setText(lead, `Who holds locks or waits for them: ${count(list.length, 'process', 'processes')}, those that keep others waiting first${list.length > most ? `, of which ${number(most)} are shown; the search of the locks finds all` : ''}.`);
    all.show(list.slice(0, most), (process) => process.id, (process) => [
      processShown(process.owner), String(process.holds), process.waits ? el('b', null, String(process.waits)) : '0', process.longest ? since(process.longest) : '', process.keeps ? count(process.keeps, 'waiter', 'waiters') : '',
    ], store.complete ? 'No process holds a lock or waits for one under this prefix.' : 'Loading.');
  }
  update();
  return { title: 'Processes', on: { locks: update, status: update, hello: update }, tick: () => tick(main) };
}
