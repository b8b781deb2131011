// The list of all locks.
import { moment, since, tick, until } from './clock.js';
import { add, el, put, setText } from './dom.js';
import { columns, kinds, select, states, store } from './store.js';
import { VirtualTable } from './table.js';
import { number, plain, shown } from './text.js';
import { troublePanel } from './trouble.js';

const rowHeight = 34; // as in style.css

// The search and the order are in the address, so that they can be sent to somebody, and survive a reload. They are kept here
// while other pages are open.
const usual = () => ({
  query: '', column: 'name', order: 'ascending', troubled: false, heldFor: 0, waiters: 0,
  wantedStates: new Set(usualStates), wantedKinds: new Set(kinds),
});
const kindsOfMetrics = { lock: 'plain', election: 'elect' }; // the kinds of adapters/prometheus, for links from alerts
const usualStates = ['held', 'waiting', 'stale', 'damaged'];
const wanted = { ...usual(), scroll: 0, opened: null };
const same = (set, list) => set.size === list.length && list.every((key) => set.has(key));

// listAddress is the address of the list with the present search and order.
export function listAddress() {
  const says = new URLSearchParams();
  if (wanted.query) says.set('q', wanted.query);
  if (wanted.column !== 'name' || wanted.order !== 'ascending') says.set('sort', (wanted.order === 'descending' ? '-' : '') + wanted.column);
  if (wanted.troubled) says.set('trouble', '1');
  if (wanted.heldFor) says.set('held', String(wanted.heldFor));
  if (wanted.waiters) says.set('waiting', String(wanted.waiters));
  if (!same(wanted.wantedStates, usualStates)) says.set('states', [...wanted.wantedStates].join(' '));
  if (!same(wanted.wantedKinds, kinds)) says.set('kinds', [...wanted.wantedKinds].join(' '));
  return `#/${says.size ? `?${says}` : ''}`;
}

// follow reads the search and the order from an address. What is missing or wrong in it gets the default.
function follow(address) {
  const says = new URLSearchParams(address);
  const number = (key) => Math.max(0, Math.floor(Number(says.get(key)))) || 0;
  const set = (key, all, otherwise) => new Set(says.has(key) ? says.get(key).split(' ').map((one) => Object.hasOwn(kindsOfMetrics, one) ? kindsOfMetrics[one] : one).filter((one) => all.includes(one)) : otherwise);
  const [, minus, column] = /^(-?)(\w+)$/.exec(says.get('sort') ?? '') ?? [];
  Object.assign(wanted, usual(), {
    query: (says.get('q') ?? '').slice(0, 600), troubled: says.get('trouble') === '1', heldFor: number('held'), waiters: number('waiting'),
    wantedStates: set('states', states, usualStates), wantedKinds: set('kinds', kinds, kinds),
    ...(Object.hasOwn(columns, column ?? '') ? { column, order: minus ? 'descending' : 'ascending' } : {}),
  });
}

const kindNames = { plain: 'plain', cron: 'cron:', elect: 'elect:', once: 'once:', share: 'share:', tick: 'tick:' };

export function locksPage(main, address = '') {
  follow(address);
  const trouble = troublePanel();
  const choice = (id, label, key, options) => {
    const box = el('select', { id, 'aria-label': label, onchange: () => { wanted[key] = Number(box.value); update(); } },
      (options.some(([value]) => value === wanted[key]) ? options : [...options, [wanted[key], `${label} ${wanted[key]}`]]).map(([value, text]) => el('option', { value, selected: value === wanted[key] }, text)));
    return box;
  };
  const search = el('input', { type: 'search', id: 'search', placeholder: 'Name, holder or metadata', autocomplete: 'off', spellcheck: 'false',
    'aria-keyshortcuts': '/', oninput: () => { wanted.query = search.value; table.scroller.scrollTop = 0; update(); } });
  search.value = wanted.query;
  const chips = new Map();
  const chip = (key, name, set) => {
    const box = el('input', { type: 'checkbox', id: `show-${key}`, onchange: () => { box.checked ? set.add(key) : set.delete(key); update(); } });
    box.checked = set.has(key);
    const badge = el('span', { class: 'n' });
    chips.set(key, badge);
    return el('label', { class: `chip ${key}` }, box, name, ' ', badge);
  };
  const onlyBox = el('input', { type: 'checkbox', id: 'only-trouble', onchange: () => { wanted.troubled = onlyBox.checked; update(); } });
  onlyBox.checked = wanted.troubled;
  const onlyCount = el('span', { class: 'n' });
  chips.set('trouble', onlyCount);
  const only = el('label', { class: 'chip trouble' }, onlyBox, 'locks in trouble', ' ', onlyCount);
  const shownCount = el('p', { class: 'count', id: 'count' });
  const empty = el('p', { class: 'empty', hidden: true });
  const table = new VirtualTable({
    label: 'Locks',
    height: rowHeight,
    columns: [
      { key: 'trouble', title: '!', name: 'Trouble', class: 'c-trouble' }, { key: 'name', title: 'Name', class: 'c-name' }, { key: 'holder', title: 'Holder', class: 'c-holder' },
      { key: 'since', title: 'Held for', class: 'c-since' }, { key: 'waiting', title: 'Waiting', class: 'c-waiting' },
      { key: 'mode', title: 'Mode', class: 'c-mode' }, { key: 'deadline', title: 'Deadline', class: 'c-deadline' },
    ],
    draw: drawRow,
    change: changeRow,
    sort: (key) => {
      if (wanted.column === key) wanted.order = wanted.order === 'ascending' ? 'descending' : 'ascending';
      else Object.assign(wanted, { column: key, order: columns[key].first });
      update();
    },
  });
  const wide = matchMedia('(min-width: 621px)'); // on a phone the filters are folded, so that the list is near the top
  const filters = el('details', { class: 'filters', open: wide.matches }, el('summary', null, 'Filters'),
    el('fieldset', { class: 'chips' }, el('legend', null, 'State'), states.map((state) => chip(state, state, wanted.wantedStates))),
    el('fieldset', { class: 'chips' }, el('legend', null, 'Kind'), kinds.map((kind) => chip(kind, kindNames[kind], wanted.wantedKinds))),
    el('fieldset', { class: 'chips' }, el('legend', null, 'Only'), only,
      choice('held-for', 'Held for at least', 'heldFor', [[0, 'held for any time'], [60, 'held for 1 min or more'], [600, '10 min or more'], [3600, '1 h or more'], [86400, '1 day or more']]),
      choice('waiters', 'Waiters at least', 'waiters', [[0, 'any queue'], [1, '1 waits or more'], [10, '10 wait or more'], [100, '100 wait or more']])));
  const unfold = () => { filters.open = wide.matches; };
  wide.addEventListener('change', unfold);
  add(main,
    el('h1', { tabindex: '-1', class: 'unseen' }, 'Locks'), trouble.section,
    el('search', { class: 'tools' },
      el('label', { class: 'find' }, el('span', { class: 'unseen' }, 'Search the locks'), search, el('kbd', { 'aria-hidden': 'true' }, '/')),
      filters),
    shownCount, table.scroller, empty);

  search.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown') {
      event.preventDefault();
      table.go(0);
    } else if (event.key === 'Escape' && search.value) {
      event.preventDefault();
      event.stopPropagation();
      search.value = wanted.query = '';
      update();
    }
  });
  table.body.addEventListener('click', (event) => {
    const row = event.target.closest('tr[data-id]');
    if (!row) return;
    wanted.opened = row.dataset.id;
    if (!event.target.closest('a') && !getSelection().toString()) row.querySelector('a').click();
  });

  let drawn = 0;
  let later = null;
  // update puts the search and the order into the address, after the person has changed them. News of the locks must not do that,
  // as the person may have gone to another address whose page is not shown yet.
  function update() {
    if (location.hash !== listAddress()) history.replaceState(null, '', listAddress());
    draw();
  }
  function draw() {
    clearTimeout(later);
    later = null;
    drawn = performance.now();
    trouble.update();
    const { locks, counts, total } = select(store.locks, wanted);
    for (const [key, badge] of chips) setText(badge, number(counts[key]));
    table.sorted(wanted.column, wanted.order);
    table.show(locks);
    const left = store.status?.leftOut ?? 0;
    setText(shownCount, `${number(locks.length)} of ${number(total)} locks` + (store.complete ? '' : ', still loading') +
      (left ? `; ${number(left)} more are beyond what this page can hold` : ''));
    empty.hidden = locks.length > 0 || !store.complete;
    table.scroller.classList.toggle('bare', !empty.hidden);
    setText(empty, total === 0 ? `No lock is known under the prefix “${plain(store.hello?.prefix ?? '')}”.`
      : wanted.query || wanted.troubled || wanted.heldFor || wanted.waiters ? 'No lock matches the search and the filters.' : 'No lock is in such a state now. Idle ones are left out unless “idle” is on.');
  }
  // changed collects changes that come quickly, as sorting 10,000 locks takes a while.
  function changed() {
    later ??= setTimeout(draw, Math.max(0, 250 - (performance.now() - drawn)));
  }

  update(); // this removes from the address values that do not exist
  table.scroller.scrollTop = wanted.scroll;
  table.render();
  return {
    title: 'Locks',
    on: { locks: changed, status: changed, hello: changed, trouble: changed, jobs: changed, health: changed },
    tick: () => { tick(table.body); tick(trouble.section); },
    search: () => { search.focus(); search.select(); },
    focus: () => {
      if (!wanted.opened || !table.items.some(({ id }) => id === wanted.opened)) return false;
      table.find(wanted.opened);
      return true;
    },
    leave: () => { clearTimeout(later); trouble.end(); wide.removeEventListener('change', unfold); wanted.scroll = table.scroller.scrollTop; table.end(); },
  };
}

function drawRow(lock) {
  const name = shown(lock.name);
  const title = plain(lock.name, 600);
  return el('tr', null,
    el('td', { class: 'c-trouble' }),
    el('th', { scope: 'row', class: 'c-name' }, el('span', { class: 'cell' }, el('a', { href: `#/lock/${lock.id}`, title }, name), el('span', { class: 'tags' }))),
    el('td', { class: 'c-holder' }), el('td', { class: 'c-since' }), el('td', { class: 'c-waiting' }), el('td', { class: 'c-mode' }), el('td', { class: 'c-deadline' }));
}

// changeRow draws the cells that have changed.
function changeRow(row, lock) {
  const stale = lock.states.includes('stale');
  const level = store.trouble?.locks[lock.id] ?? '';
  if (row.lock === lock && row.stale === stale && row.level === level) return;
  Object.assign(row, { lock, stale, level });
  row.className = [...lock.states].join(' ');
  const [mark, name, holder, held, waiting, mode, deadline] = row.cells;
  put(mark, ...(level ? [el('span', { class: `level ${level}`, role: 'img', 'aria-label': `in trouble: ${level}`, title: `in trouble: ${level}` })] : []));
  const tag = lock.error ? 'damaged' : lock.revoked ? 'revoked' : stale ? 'stale' : lock.kept ? 'given back' : '';
  put(name.querySelector('.tags'), ...(tag ? [el('span', { class: `tag ${tag.replace(' ', '-')}`, title: lock.kept ? `given back, kept until ${moment(lock.deadline).textContent}` : null }, tag)] : []));
  const more = lock.held > 1 ? el('span', { class: 'more' }, ` +${number(lock.held - 1)}`) : '';
  const meta = lock.owner?.meta ? el('span', { class: 'meta' }, shown(lock.owner.meta)) : '';
  put(holder, lock.error ? el('span', { class: 'cell', title: plain(lock.error, 600) }, el('span', { class: 'wrong' }, shown(lock.error))) : lock.owner ? el('span', { class: 'cell', title: plain([lock.holder, lock.owner.meta].filter(Boolean).join(': '), 600) }, el('span', { class: 'who' }, shown(lock.holder), more), meta) : dash());
  put(held, lock.since ? since(lock.since) : dash());
  put(waiting, ...(lock.waiting ? [el('b', null, number(lock.waiting)), lock.waitSince ? el('span', { class: 'longest' }, ' · ', since(lock.waitSince)) : ''] : [dash()]));
  put(mode, lock.mode ? shown(lock.mode) : dash());
  put(deadline, ...(!lock.deadline ? [dash()] : lock.kept ? [el('span', { class: 'faint' }, 'until '), moment(lock.deadline)] : [until(lock.deadline)]));
}

const dash = () => el('span', { class: 'dash', 'aria-label': 'none' }, '–');
