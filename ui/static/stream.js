// The stream of the server: the state of everything, then the changes. If the connection breaks, is silent or misses a
// message, a new one is made, which sends everything again.
import { heard } from './clock.js';
import { store } from './store.js';

let source = null;
let expected = 0;
let alive = 0;
let failures = 0;
const lookTime = 10_000; // milliseconds that the server may take for a look
let looking = ''; // the id of the lock whose page is open

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

// The key of the session, which a login puts behind the # of the address. It is kept in the storage, which other ports of
// this host cannot read, unlike the cookie. Each request carries it.
const storedKey = 'redislock-key';
export function enter(key) {
  localStorage.setItem(storedKey, key);
}
export function forget() {
  localStorage.removeItem(storedKey);
}
const keyed = (key) => ({ 'X-CSRF-Token': key || localStorage.getItem(storedKey) || '' });

// connect begins a stream. It is read here and not by an EventSource, as that cannot send the key of the session.
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

// read reads a stream until it ends.
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

// take handles one event.
function take({ id, event, data }) {
  alive = Date.now();
  if (Number(id) !== expected++) {
    connect(); // a message is missing
    return;
  }
  handlers.get(event)?.(JSON.parse(data));
  if (event === 'hello') {
    failures = 0;
    store.set('link', { up: true });
    if (looking) look(looking);
  }
}

// lost says that the connection is lost, and tries again with growing pauses. If the login has ended, it goes to the
// page for the login.
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
    // the server is not there; the next try of the stream will fail too
  }
  if (!source) connect();
}

setInterval(() => {
  if (source && Date.now() - alive > 3 * (store.hello?.beatMs ?? 10_000)) lost('redislock ui has been silent for a while. This page tries again by itself.');
}, 1000);

// look tells the server which lock this page looks at, or none. There is one request at a time, as of two the first
// could arrive last.
export function look(id) {
  if (id !== looking) store.lock = null;
  looking = id;
  changed = true;
  if (store.hello && !telling) tellLook(); // without a hello it is sent after the next one
}

let changed = false; // looking has changed since the server was told
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
      if (status === 400 && id === looking) store.refuse(id, data.error); // no lock can have that name
    } catch {
      if (!store.link?.up) break; // it is sent again after the next hello
      await new Promise((resolve) => setTimeout(resolve, 1000));
      changed ||= stream === store.hello.stream; // after the hello of another stream it was sent already
    }
  }
  telling = false;
}

// post sends a request that only this page may send.
export async function post(path, body, signal) {
  const answer = await fetch(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...keyed(store.hello?.csrf) }, // the key for the cookie, which another window may have changed
    body: JSON.stringify(body),
    signal,
  });
  const text = await answer.text();
  let data = {};
  try {
    data = JSON.parse(text);
  } catch {
    // there is no body, or it is that of a proxy
  }
  return { status: answer.status, ok: answer.ok, data };
}
