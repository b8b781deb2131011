// The troubles that need a person, each in words and with the steps that can be taken.
import { moment, since } from './clock.js';
import { arrange, el, put, set, setText } from './dom.js';
import { store } from './store.js';
import { count, nameOf, number, plain, shown } from './text.js';

// words turns a text of package trouble into nodes. Its times are marked by control characters, which do not occur
// elsewhere in it.
export function words(text) {
  return text.split(/(\u0002\d+\u0002|\u0003\d+\u0003)/).map((part) => {
    const ms = Number(part.slice(1, -1));
    if (part[0] === '\u0002') return moment(ms);
    return part[0] === '\u0003' ? since(ms) : unbroken(part);
  }).flat();
}

// unbroken keeps lines from breaking within a name. Very long names are broken all the same.
const unbroken = (text) => text.split(/(\S*[-/]\S*)/).map((word, i) => (i % 2 && word.length <= 40 ? el('span', { class: 'whole' }, word) : word));

// copyable is a command with a button that copies it.
export function copyable(command) {
  const button = el('button', { type: 'button', class: 'copy', 'aria-label': `Copy: ${plain(command, 200)}`, onclick: async () => {
    try {
      await navigator.clipboard.writeText(command);
      setText(button, 'Copied');
    } catch { // the page is not served by TLS, or copying is not allowed
      getSelection().selectAllChildren(code);
      setText(button, 'Selected');
    }
    setTimeout(() => setText(button, 'Copy'), 2000);
  } }, 'Copy');
  const code = el('code', null, ...unbroken(command));
  return el('span', { class: 'command' }, code, button);
}

const headings = { look: 'Look first: this changes nothing', mend: 'What mends it', take: 'If it must be taken away', forget: 'If it is not wanted any more', prevent: 'For developers, so that it does not come again' };

// stepsOf lists the steps, with a list for each action. The cost of a step stands before its command.
export const stepsOf = (steps) => el('div', null, el('div', { class: 'ways' }, sectionsOf(steps, Object.keys(headings).filter((action) => action !== 'prevent'))), sectionsOf(steps, ['prevent']));
const sectionsOf = (steps, actions) => actions.map((action) => {
  const some = steps.filter((step) => step.action === action);
  return some.length ? el('section', { class: `steps-of ${action}` }, el('h3', null, headings[action]), el('ul', { class: 'steps' }, some.map((step) => el('li', null,
    el('span', null, ...words(step.text)), step.warn ? el('p', { class: 'warn' }, ...words(step.warn), '.') : '', step.command ? copyable(step.command) : '')))) : '';
});

const keyOf = (item) => [item.kind, item.id ?? '', item.job ?? '', item.id || item.job ? '' : item.title, item.kind === 'ended' ? item.since : ''].join(' ');

// troublePanel is the list of all troubles, or one line if there are none.
export function troublePanel() {
  const heading = el('h2', { class: 'trouble-title' }, 'Trouble');
  const list = el('ul', { class: 'trouble-list' });
  const line = el('p', { class: 'well' });
  const more = el('p', { class: 'note', hidden: true });
  const section = el('section', { class: 'troubles', 'aria-label': 'Trouble' }, heading, list, more, line);
  const known = new Map();
  const touched = new Set(); // items that the person has opened or closed

  function draw(item) {
    const key = keyOf(item);
    const old = known.get(key);
    const text = JSON.stringify(item);
    const row = old?.row ?? el('li');
    if (old?.text !== text) {
      const open = row.querySelector('details')?.open ?? false;
      const about = item.id ? el('span', null, el('a', { href: `#/lock/${item.id}` }, shown(nameOf(item.id))), item.others ? ` and ${number(item.others)} more` : '') : item.job ? el('a', { href: `#/lock/cron:${item.job}` }, shown(nameOf(item.job))) : el('a', { href: '#/health' }, 'Redis');
      const [first] = item.steps;
      const focused = row.contains(document.activeElement) ? document.activeElement.tagName : '';
      const box = el('details', null,
        el('summary', { onclick: () => touched.add(key) }, el('span', { class: `level ${item.level}` }, item.level === 'danger' ? 'danger' : 'warning'), el('span', { class: 'what' }, ...words(item.title)),
          item.when ? el('span', { class: 'age' }, ...words(item.when)) : '', item.waiting && !['waits-long', 'grows', 'not-served', 'no-leader', 'cycle'].includes(item.kind) ? el('span', { class: 'age' }, count(item.waiting, 'waits', 'wait')) : '',
          first ? el('span', { class: 'first' }, first.action === 'look' ? 'Look first: ' : 'To do: ', ...words(first.text)) : ''),
        el('div', { class: 'why' }, item.means.map((text) => el('p', null, ...words(text))), stepsOf(item.steps)));
      box.open = open;
      put(row, el('span', { class: 'about' }, about), box);
      if (focused) row.querySelector(focused === 'A' ? 'a' : 'summary').focus({ preventScroll: true });
    }
    return [key, { row, text }];
  }

  // unfold opens the first item, the worst, if there is room for it and for the titles of all others, as the titles are more
  // important than the steps. An item that the person has opened or closed stays so, and so does one that has been open for a
  // while, as it may be being read.
  let decided = '';
  let opened = { key: null, at: 0 };
  function unfold(rows) {
    const why = [...rows.keys(), innerWidth, innerHeight].join('\n');
    if (why === decided) return;
    decided = why;
    if (opened.key && performance.now() - opened.at > 10_000) touched.add(opened.key);
    list.style.maxHeight = '';
    const [first, ...rest] = [...rows].filter(([key]) => !touched.has(key)).map(([, { row }]) => row);
    for (const row of rest) row.querySelector('details').open = false;
    if (!first) return;
    const box = first.querySelector('details');
    box.open = list.firstElementChild === first;
    if (box.open && rows.size > 1 && (list.scrollHeight > list.clientHeight + 1 || list.getBoundingClientRect().top + scrollY + list.scrollHeight > innerHeight)) box.open = false;
    const key = box.open ? rows.keys().next().value : null;
    if (key !== opened.key) opened = { key, at: performance.now() };
  }

  // fit sets the height so that no row is cut in half if not all have room.
  function fit() {
    list.style.maxHeight = '';
    if (list.scrollHeight <= list.clientHeight + 1) return;
    let height = 0;
    for (const { offsetHeight } of list.children) {
      if (height > 0 && height + offsetHeight > list.clientHeight) break;
      height += offsetHeight;
    }
    if (height <= list.clientHeight) list.style.maxHeight = `${height + 2}px`;
  }
  // entitle says how many troubles there are, and how many of them can be seen only after scrolling.
  function entitle() {
    const told = store.trouble;
    const below = [...list.children].filter((row) => row.offsetTop - list.offsetTop >= list.scrollTop + list.clientHeight - 4).length;
    setText(heading, !told?.items.length ? 'Trouble' : count(told.items.length + (told.more ?? 0), 'trouble', 'troubles') + (below ? `, ${number(below)} further down` : ''));
  }
  list.addEventListener('toggle', () => refit(), true);
  list.addEventListener('scroll', entitle);
  const refit = () => { fit(); entitle(); };
  addEventListener('resize', refit);

  return {
    section,
    end: () => removeEventListener('resize', refit),
    update() {
      const told = store.trouble;
      section.classList.toggle('none', !told || told.items.length === 0);
      heading.hidden = list.hidden = !told || told.items.length === 0;
      line.hidden = !heading.hidden;
      const whole = told && store.complete && !store.status?.error;
      put(line, !whole ? el('span', { class: 'faint' }, 'Looking for trouble.') : [el('span', { class: 'tag good' }, 'well'), ` Nothing needs a person: ${count(store.locks.size, 'lock', 'locks')}, ${count(store.jobs?.length ?? 0, 'job', 'jobs')}${store.health ? ' and the server' : ''} looked at.`]);
      const rows = new Map((told?.items ?? []).map((item) => draw(item)));
      known.clear();
      for (const [key, value] of rows) known.set(key, value);
      for (const key of touched) if (!rows.has(key)) touched.delete(key);
      arrange(list, [...rows.values()].map(({ row }) => row));
      unfold(rows);
      fit();
      entitle();
      more.hidden = !told?.more;
      setText(more, told?.more ? `${number(told.more)} more are not shown: mend these first, or sort the list by trouble.` : '');
    },
  };
}
