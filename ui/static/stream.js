// The stream of the server: everything there is, then what changes. A connection that breaks, falls silent or misses a
// message is made anew, and then everything is told again.
import { heard } from './clock.js';
import { store } from './store.js';

let source = null;
let expected = 0;
let alive = 0;
let failures = 0;
const lookTime = 10_000; // milliseconds that the server may take for it
let looking = ''; // the id of the lock that is looked at

const handlers = new Map(Object.entries({
  hello: (data) => store.begin(data),
  locks: (data) => store.take(data),
  lock: (data) => {
    heard(data.now);
    if (data.id === looking) store.look(data);
  },
  trouble: (data) => store.set('trouble', data),
  cron: (data) => store.set('jobs', data),
  health: (data) => store.set('health', data),
  status: (data) => {
    heard(data.now);
    store.settle(data);
  },
  beat: () => {},
  bye: () => lost('redislock ui has ended. This page goes on when it is started again.'),
  over: () => location.assign('login'), // the session has ended
}));

// The key of the session, which a login leaves behind the # of the address. It is kept where other ports of this host do not
// see it, as they see the cookie; each request says it.
const storedKey = 'redislock-key';
export function enter(key) {
  localStorage.setItem(storedKey, key);
}
export function forget() {
  localStorage.removeItem(storedKey);
}
const keyed = (key) => ({ 'X-CSRF-Token': key || localStorage.getItem(storedKey) || '' });

// connect begins a stream. It is read here, not by an EventSource, which cannot send the key of the session.
export function connect() {
  source?.abort();
  source = new AbortController();
  expected = 1;
  alive = Date.now();
  const mine = source;
  read(mine).catch(() => {}).then(() => {
    if (mine === source) lost('No connection to redislock ui. Is it still running? This page tries again by itself.');
  });
}

// read takes in a stream until it ends.
async function read(mine) {
  const answer = await fetch('api/stream', { headers: keyed(), signal: mine.signal });
  if (answer.status === 401) location.assign('login');
  if (!answer.ok) return;
  const text = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ''; ;) {
    const { value, done } = await text.read();
    if (done) return;
    const events = (rest + value).split('\n\n');
    rest = events.pop();
    for (const event of events) if (mine === source) take(Object.fromEntries(event.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)])));
  }
}

// take takes in one event.
function take({ id, event, data }) {
  alive = Date.now();
  if (Number(id) !== expected++) {
    connect(); // something was missed
    return;
  }
  handlers.get(event)?.(JSON.parse(data));
  if (event === 'hello') {
    failures = 0;
    store.set('link', { up: true });
    if (looking) look(looking);
  }
}

// lost says so, and tries again with growing pauses; who is not logged in any more is sent to do that.
async function lost(why) {
  source?.abort();
  source = null;
  store.set('link', { up: false, why });
  const pause = Math.min(500 * 2 ** failures++, 10_000);
  await new Promise((resolve) => setTimeout(resolve, pause));
  if (source) return;
  try {
    const answer = await fetch('api/session', { headers: keyed() });
    if (answer.status === 401) {
      location.assign('login');
      return;
    }
  } catch {
    // it is not there; the stream will say the same
  }
  if (!source) connect();
}

setInterval(() => {
  if (source && Date.now() - alive > 3 * (store.hello?.beatMs ?? 10_000)) lost('redislock ui has been silent for a while. This page tries again by itself.');
}, 1000);

// look has the server watch one lock for this page, or none. One request at a time: of two the first could come last.
export function look(id) {
  if (id !== looking) store.lock = null;
  looking = id;
  changed = true;
  if (store.hello && !telling) tellLook(); // without a hello it is said again with it
}

let changed = false; // what is looked at, since the server was told
let telling = false;
async function tellLook() {
  telling = true;
  while (changed) {
    changed = false;
    const { stream } = store.hello;
    try {
      const id = looking;
      const { status, data } = await post('api/look', { stream, id }, AbortSignal.timeout(lookTime));
      if ((status === 401 || status === 403) && store.link?.up) location.reload(); // the session has ended
      if (status === 400 && id === looking) store.refuse(id, data.error); // no lock can be called so
    } catch {
      if (!store.link?.up) break; // the next hello says it again
      await new Promise((resolve) => setTimeout(resolve, 1000));
      changed ||= stream === store.hello.stream; // another stream's hello has said it
    }
  }
  telling = false;
}

// post sends what only this page may send.
export async function post(path, body, signal) {
  const answer = await fetch(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...keyed(store.hello?.csrf) }, // that of the cookie, which another window may have changed
    body: JSON.stringify(body),
    signal,
  });
  const text = await answer.text();
  let data = {};
  try {
    data = JSON.parse(text);
  } catch {
    // no body, or that of a proxy
  }
  return { status: answer.status, ok: answer.ok, data };
}
