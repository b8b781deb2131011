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

const handlers = {
  hello: (data) => store.begin(data),
  locks: (data) => store.take(data),
  lock: (data) => {
    heard(data.now);
    if (data.id === looking) store.look(data);
  },
  cron: (data) => store.set('jobs', data),
  health: (data) => store.set('health', data),
  status: (data) => {
    heard(data.now);
    store.settle(data);
  },
  beat: () => {},
  bye: () => lost('redislock ui has ended. This page goes on when it is started again.'),
};

// connect begins a stream.
export function connect() {
  source?.close();
  expected = 1;
  alive = Date.now();
  source = new EventSource('/api/stream');
  const mine = source;
  for (const [kind, handle] of Object.entries(handlers)) {
    source.addEventListener(kind, (event) => {
      if (mine !== source) return;
      alive = Date.now();
      if (Number(event.lastEventId) !== expected++) {
        connect(); // something was missed
        return;
      }
      handle(JSON.parse(event.data));
      if (kind === 'hello') {
        failures = 0;
        store.set('link', { up: true });
        if (looking) look(looking);
      }
    });
  }
  source.onerror = () => {
    if (mine === source) lost('No connection to redislock ui. Is it still running? This page tries again by itself.');
  };
}

// lost says so, and tries again with growing pauses; who is not logged in any more is sent to do that.
async function lost(why) {
  source?.close();
  source = null;
  store.set('link', { up: false, why });
  const pause = Math.min(500 * 2 ** failures++, 10_000);
  await new Promise((resolve) => setTimeout(resolve, pause));
  if (source) return;
  try {
    const answer = await fetch('/api/session');
    if (answer.status === 401) {
      location.assign('/login');
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
      const { status } = await post('/api/look', { stream, id: looking }, AbortSignal.timeout(lookTime));
      if (status === 403 && store.link?.up) location.reload(); // the session has ended
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
    headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': store.hello?.csrf ?? '' },
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
