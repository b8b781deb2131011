// The data of the page: the locks, and which of them are listed in which order.
import { now } from './clock.js';
import { nameOf, ownerText } from './text.js';

export const kinds = ['plain', 'cron', 'elect', 'once', 'share', 'tick'];
export const states = ['held', 'waiting', 'stale', 'damaged', 'idle'];

// grace is how long after its deadline a hold counts as stale, in addition to the time from one sweep to the next, as a sweep
// may still find its renewal. While Redis does not answer no hold becomes stale: it may have been renewed.
const grace = 1500;
const overdue = (deadline, at) => Boolean(store.link?.up) && !store.status?.error && deadline + grace + (store.status?.tookMs ?? 0) + (store.status?.pauseMs ?? 0) < at;

class Store extends EventTarget {
  locks = new Map();
  complete = false; // this stream has sent all locks
  shows = false; // this stream or an earlier one has sent all locks
  hello = null;
  status = null;
  trouble = null; // the troubles, and the locks that they are about
  jobs = null;
  health = null;
  lock = null; // the lock whose page is open: its detail, and its history from the first known item
  age = 0; // counts changes of the locks

  // begin forgets the data, as a new stream sends everything again. The old locks are shown until a whole sweep has
  // come.
  begin(hello) {
    this.hello = hello;
    this.trouble = null;
    this.coming = new Map();
    this.complete = false;
    this.tell('hello');
  }

  take({ set, gone }) {
    const into = this.coming ?? this.locks;
    for (const lock of set) into.set(lock.id, this.known(lock));
    for (const id of gone ?? []) into.delete(id);
    if (this.coming && !this.shows) this.locks = this.coming;
    this.age++;
    this.tell('locks');
  }

  settle(status) {
    this.status = status;
    if (this.coming && status.sweeps > 0) {
      this.locks = this.coming;
      this.coming = null;
      this.complete = this.shows = true;
    }
    this.age++;
    this.tell('status');
  }

  // known adds the fields to a lock that searching and sorting need.
  known(lock) {
    const old = this.locks.get(lock.id);
    lock.name = old?.name ?? nameOf(lock.id);
    const prefix = /^(cron|elect|once|share|tick):/.exec(lock.name);
    lock.kind = prefix ? prefix[1] : 'plain';
    lock.holder = ownerText(lock.owner);
    lock.text = `${lock.name}\n${lock.holder}\n${[...(lock.others ?? []), ...(lock.waiters ?? [])].map(ownerText).join('\n')}\n${lock.owner?.meta ?? ''}\n${lock.mode ?? ''}\n${lock.error ?? ''}`.toLowerCase();
    return lock;
  }

  look(detail) {
    if (this.lock?.id === detail.id) {
      const first = detail.history[0]?.n;
      const before = first === undefined ? this.lock.history : this.lock.history.filter((item) => item.n < first);
      detail.history = [...before, ...detail.history].slice(-600);
    }
    this.lock = detail;
    this.tell('lock');
  }

  // refuse is called if the server refuses to look at a lock.
  refuse(id, error) {
    this.look({ id, error, now: 0, fence: 0, held: 0, waiting: 0, holds: [], places: [], history: [], blind: [], means: [], steps: [] });
  }

  set(what, value) {
    this[what] = value;
    this.tell(what);
  }

  tell(what) {
    this.dispatchEvent(new Event(what));
  }
}

export const store = new Store();

// statesOf are the states that a lock is in: one or several.
export function statesOf(lock, at = now()) {
  if (lock.error) return ['damaged'];
  const found = [];
  if (lock.held) found.push('held');
  if (lock.waiting) found.push('waiting');
  if (lock.revoked || (lock.held && !lock.kept && lock.deadline && overdue(lock.deadline, at))) found.push('stale');
  if (!lock.held && !lock.waiting) found.push('idle');
  return found;
}

const collator = new Intl.Collator('en', { numeric: true });

// byText compares as the collator does, but only from the place where two texts differ, as names may be long and begin
// alike. It goes back to before any digits, which form a number with those that follow, and before any character that
// could join with the next.
function byText(x, y) {
  const length = Math.min(x.length, y.length);
  let i = 0;
  while (i < length && x.charCodeAt(i) === y.charCodeAt(i)) i++;
  for (; i > 0; i--) {
    const before = x.charCodeAt(i - 1);
    if ((before < 0x80 && (before < 0x30 || before > 0x39) && !joins(x, i) && !joins(y, i))) break;
    if (before >= 0xdc80 && before <= 0xdcff && !(x.charCodeAt(i - 2) >= 0xd800 && x.charCodeAt(i - 2) < 0xdc00) && !joins(x, i) && !joins(y, i)) break; // a byte that is no text
  }
  return collator.compare(x.slice(i), y.slice(i));
}

// joins says whether the character there may belong to the one before it, as an accent does.
const joins = (text, i) => text.charCodeAt(i) >= 0x300 && !(text.charCodeAt(i) >= 0xdc80 && text.charCodeAt(i) <= 0xdcff);

// columns are the values by which the list can be sorted, each with its first order.
export const columns = {
  trouble: { of: (lock) => store.trouble?.locks[lock.id] ? (store.trouble.locks[lock.id] === 'danger' ? 2 : 1) : null, first: 'descending' },
  name: { of: (lock) => lock.name, text: true, first: 'ascending' },
  holder: { of: (lock) => lock.holder, text: true, first: 'ascending' },
  since: { of: (lock) => lock.since ?? null, first: 'ascending' },
  waiting: { of: (lock) => lock.waiting || null, first: 'descending' },
  mode: { of: (lock) => lock.mode ?? '', text: true, first: 'ascending' },
  deadline: { of: (lock) => lock.deadline ?? null, first: 'ascending' },
};

// select returns the locks to list: { locks, counts of each state and kind, total }.
export function select(locks, { query, wantedStates, wantedKinds, troubled, heldFor, waiters, column, order }) {
  const at = now();
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const counts = Object.fromEntries([...states, ...kinds, 'trouble'].map((key) => [key, 0]));
  const chosen = [];
  for (const lock of locks.values()) {
    lock.states = statesOf(lock, at);
    const level = store.trouble?.locks[lock.id];
    if (level) counts.trouble++;
    for (const state of lock.states) counts[state]++;
    counts[lock.kind]++;
    if (!wantedKinds.has(lock.kind) || !lock.states.some((state) => wantedStates.has(state))) continue;
    if ((troubled && !level) || (heldFor && !(lock.since && at - lock.since >= heldFor * 1000)) || (waiters && !((lock.waiting ?? 0) >= waiters))) continue;
    if (words.every((word) => lock.text.includes(word))) chosen.push(lock);
  }
  const { of, text } = columns[column];
  const sign = order === 'descending' ? -1 : 1;
  chosen.sort((a, b) => {
    const x = of(a);
    const y = of(b);
    if (x !== y) {
      if (x === null || x === '') return 1; // locks without a value come last in both orders
      if (y === null || y === '') return -1;
      const difference = text ? byText(x, y) : x - y;
      if (difference) return sign * difference;
    }
    return a.id < b.id ? -1 : 1;
  });
  return { locks: chosen, counts, total: locks.size };
}
