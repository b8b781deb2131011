// The frame: which page is shown, the state of the connection, the keyboard.
import { lockPage } from './lock.js';
import { listAddress, locksPage } from './locks.js';
import { cronPage, electionsPage, healthPage, levels, noPage } from './pages.js';
import { put, set, setText } from './dom.js';
import { processesPage, processPage } from './process.js';
import { statesOf, store } from './store.js';
import { connect, enter, forget } from './stream.js';
import { canonical, count, plain, shown, time } from './text.js';

const byID = (id) => document.getElementById(id);
const main = byID('main');
const pages = new Map([['', locksPage], ['processes', processesPage], ['cron', cronPage], ['elections', electionsPage], ['health', healthPage]]);
let current = null;
let searchNext = false; // the key for the search was pressed on a page without one
let moved = false; // the person has gone to another page; the first page does not set the focus

// route shows the page that the address names. The focus goes to its heading, or back to where it was.
function route() {
  const [, first = '', id = '', query = ''] = /^#\/([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/.exec(location.hash) ?? ['', location.hash.slice(1)];
  if (first === 'lock' && id && canonical(id) !== id) {
    location.replace(`#/lock/${canonical(id)}`);
    return;
  }
  for (const box of document.querySelectorAll('dialog[open]')) box.close(); // a dialog belongs to the page that is left
  current?.leave?.();
  put(main);
  const isLock = first === 'lock' && id !== '';
  const isProcess = first === 'process' && id !== '';
  current = isLock ? lockPage(main, id) : isProcess ? processPage(main, id) : (pages.get(first) ?? noPage)(main, query);
  main.dataset.page = isLock ? 'lock' : isProcess ? 'process' : pages.has(first) ? first || 'locks' : 'none';
  document.querySelector('nav a[data-page=locks]').href = listAddress();
  for (const link of document.querySelectorAll('nav a')) {
    if (link.dataset.page === main.dataset.page) set(link, { 'aria-current': 'page' });
    else link.removeAttribute('aria-current');
  }
  entitle();
  if (main.dataset.page !== 'locks') scrollTo(0, 0);
  if (searchNext && current.search) current.search();
  else if (!current.focus?.() && moved) main.querySelector('h1').focus({ preventScroll: true });
  moved = true;
  searchNext = false;
}

// entitle sets the title of the tab: the page, and the number of troubles, to be seen from another tab.
function entitle() {
  const troubles = (store.trouble?.items.length ?? 0) + (store.trouble?.more ?? 0);
  setText(document.querySelector('title'), `${troubles ? `(${troubles}) ` : ''}${plain(current.title, 60)} · redislock`);
}
store.addEventListener('trouble', entitle);

for (const what of ['hello', 'locks', 'status', 'trouble', 'jobs', 'health', 'lock']) {
  store.addEventListener(what, () => current?.on[what]?.());
}
setInterval(() => {
  if (document.hidden) return;
  current?.tick();
  setText(byID('now'), time(Date.now()));
}, 1000);
setText(byID('now'), time(Date.now()));

// The state of the connection, and messages about it.
store.addEventListener('hello', () => {
  put(byID('where'), shown(store.hello.address), ' · ', shown(store.hello.prefix));
  byID('logout').hidden = !store.hello.hasLogin;
});
store.addEventListener('link', alarm);
store.addEventListener('trouble', alarm);
store.addEventListener('status', () => { alarm(); announce(); });
store.addEventListener('health', () => {
  const bad = store.health.findings.filter(({ level }) => level === 'danger' || level === 'warning').length;
  const badge = byID('health-badge');
  badge.hidden = bad === 0;
  badge.className = `badge ${levels[store.health.worst]}`;
  setText(badge, String(bad));
  set(badge, { 'aria-label': count(bad, 'finding', 'findings'), title: count(bad, 'finding about Redis', 'findings about Redis') });
});

function alarm() {
  const up = store.link?.up ?? false;
  const trouble = !up ? store.link?.why : store.status?.error;
  byID('link').className = `link ${up && !trouble ? 'up' : 'down'}`;
  setText(byID('link-text'), !up ? 'no connection' : trouble ? 'no Redis' : 'live');
  set(byID('link'), { title: up && store.status ? `The locks are looked through every ${((store.status.tookMs + store.status.pauseMs) / 1000).toFixed(1)} s; a look takes ${store.status.tookMs} ms.` : '' });
  const box = byID('alert');
  const unkept = store.status?.unkept;
  const full = store.trouble?.items.some(({ kind }) => kind === 'full'); // says why
  const text = !trouble && unkept && !full ? `The history is not kept: ${plain(unkept)}${/[.!]$/.test(unkept) ? '' : '.'} What is shown of the locks is up to date.` : trouble ? plain(trouble) + (up ? `. What is shown is as it was${store.status?.now ? ` at ${time(store.status.now)}` : ''}; it goes on by itself when Redis answers.` : '') : '';
  setText(box, text);
  box.hidden = !text;
}

// announce tells screen readers the counts of the locks, when they have changed, and not too often.
let announced = '';
let last = -Infinity;
function announce() {
  if (!store.complete || performance.now() - last < 20_000) return;
  const counts = { held: 0, waiting: 0, stale: 0 };
  for (const lock of store.locks.values()) for (const state of statesOf(lock)) if (state in counts) counts[state]++;
  const text = `${count(counts.held, 'lock', 'locks')} held, ${counts.waiting} with a queue, ${counts.stale} stale.`;
  if (text === announced) return;
  announced = text;
  last = performance.now();
  setText(byID('summary'), text);
}

// The keyboard.
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  const typing = event.target.closest('input:not([type=checkbox], [type=radio]), textarea');
  if (event.key === 'Escape' && ['lock', 'process'].includes(main.dataset.page) && !typing) {
    location.hash = listAddress();
  } else if (event.key === '/' && !typing) {
    event.preventDefault();
    searchNext = !current.search;
    if (searchNext) location.hash = listAddress();
    else current.search();
  } else if (event.key === '?' && !typing) {
    byID('help').showModal();
  }
});
byID('help-button').addEventListener('click', () => byID('help').showModal());
byID('skip').addEventListener('click', (event) => {
  event.preventDefault(); // the address must not change, as it names the page
  main.focus();
});

// A login puts the key of its session into the address, from which it is removed here.
const entered = /^#\/enter\/([A-Z0-9]+)$/.exec(location.hash);
if (entered) {
  enter(entered[1]);
  history.replaceState(null, '', '#/');
}
byID('logout').addEventListener('submit', forget);

addEventListener('hashchange', route);
route();
connect();
