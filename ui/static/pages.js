// The pages of cron jobs, of elections and of the server's health.
import { moment, since, tick, until, now } from './clock.js';
import { add, el, fillRows, put, set, setText } from './dom.js';
import { store } from './store.js';
import { VirtualTable } from './table.js';
import { processShown } from './process.js';
import { count, duration, nameOf, number, ownerShown, ownerText, plain, shown, time } from './text.js';

// page is a heading, a table and a sentence for when there is nothing.
function page(main, { title, columns, lead }) {
  const body = el('tbody');
  const note = el('p', { class: 'note' });
  const table = el('table', { class: 'small', 'aria-label': title }, el('thead', null, el('tr', null, columns.map((column) => el('th', { scope: 'col' }, column)))), body);
  add(main, el('h1', { tabindex: '-1' }, title), el('p', { class: 'lead' }, lead), el('div', { class: 'wide' }, table), note);
  return (items, keyOf, cells, none) => {
    fillRows(body, items, keyOf, (item) => el('tr', { class: item.rowClass }, cells(item).map((cell, i) => el(i ? 'td' : 'th', { scope: i ? null : 'row', 'data-column': columns[i] }, el('div', { class: 'value' }, ...[cell].flat())))));
    table.hidden = items.length === 0;
    setText(note, items.length ? '' : none);
    note.hidden = items.length > 0;
  };
}

// noPage is what an address shows that names no page.
export function noPage(main) {
  add(main, el('h1', { tabindex: '-1' }, 'No such page'), el('p', { class: 'lead' }, 'This address names none. ', el('a', { href: '#/' }, 'All locks')));
  return { title: 'No such page', on: {}, tick: () => {} };
}

const outcomes = { ran: 'good', failed: 'bad', died: 'bad', damaged: 'bad', running: 'busy' };

export function cronPage(main) {
  const show = page(main, { title: 'Cron', columns: ['Job', 'Last outcome', 'Last run', 'Took', 'Next run', 'Node'], lead: 'Jobs that ran within the last 400 days.' });
  function update() {
    const jobs = (store.jobs ?? []).map((job) => ({ ...job, late: Boolean(job.next) && job.next < now() - 60_000 && job.outcome !== 'running' }));
    show(jobs, (job) => job.id, (job) => [
      el('a', { href: `#/lock/cron:${job.id}` }, shown(nameOf(job.id))),
      [el('span', { class: `tag ${outcomes[job.outcome] ?? ''}` }, job.outcome), job.error ? el('span', { class: 'meta' }, shown(job.error)) : ''],
      job.start ? [moment(job.start), ' ', el('span', { class: 'faint' }, '(', since(job.start), ' ago)')] : 'not known',
      job.end ? duration(job.end - job.start) : job.outcome === 'running' ? [since(job.start), ' so far'] : 'not known',
      job.next ? [moment(job.next), ' ', el('span', { class: job.late ? 'tag bad' : 'faint' }, job.late ? 'overdue ' : '(', until(job.next), job.late ? '' : ')')] : el('span', { class: 'faint' }, 'not known'),
      job.outcome === 'damaged' ? 'not known' : [processShown(job.node), job.node.meta ? el('span', { class: 'meta' }, shown(job.node.meta)) : ''],
    ], store.jobs ? 'No job has run under this prefix.' : 'Loading.');
  }
  update();
  return { title: 'Cron', on: { cron: update, jobs: update, hello: update }, tick: () => { update(); tick(main); } };
}

const electionHeight = 34; // as in style.css

export function electionsPage(main) {
  const note = el('p', { class: 'note' });
  const table = new VirtualTable({
    label: 'Elections',
    height: electionHeight,
    columns: [
      { key: 'name', title: 'Election', class: 'c-name' }, { key: 'leader', title: 'Leader', class: 'c-holder' }, { key: 'since', title: 'Leads for', class: 'c-since' },
      { key: 'candidates', title: 'Candidates', class: 'c-candidates' }, { key: 'fence', title: 'Fence', class: 'c-fence' },
    ],
    draw: () => el('tr', null, el('th', { scope: 'row', class: 'c-name' }, el('span', { class: 'cell' }, el('a'))), ...['holder', 'since', 'candidates', 'fence'].map((name) => el('td', { class: `c-${name}` }))),
    change: changeElection,
  });
  add(main, el('h1', { tabindex: '-1' }, 'Elections'), el('p', { class: 'lead' }, 'Who leads, and who would next.'), table.scroller, note);
  let later = null;
  let drawn = 0;
  function update() {
    clearTimeout(later);
    later = null;
    drawn = performance.now();
    const elections = [...store.locks.values()].filter(({ kind, held, waiting }) => kind === 'elect' && (held || waiting)).sort((a, b) => (a.id < b.id ? -1 : 1));
    table.show(elections);
    table.scroller.hidden = elections.length === 0;
    setText(note, elections.length ? '' : store.complete ? 'Nobody campaigns under this prefix.' : 'Loading.');
  }
  const changed = () => { later ??= setTimeout(update, Math.max(0, 250 - (performance.now() - drawn))); };
  update();
  return { title: 'Elections', on: { locks: changed, status: changed }, tick: () => tick(table.body), leave: () => { clearTimeout(later); table.end(); } };
}
// changeElection draws what is not as it was drawn last.
function changeElection(row, lock) {
  if (row.lock === lock) return;
  row.lock = lock;
  const { id, owner, waiting = 0, waiters: candidates = [], fence } = lock;
  const [name, leader, leads, waits, last] = row.cells;
  const link = name.querySelector('a');
  link.href = `#/lock/${id}`;
  set(link, { title: plain(lock.name, 600) });
  put(link, shown(lock.name.slice('elect:'.length)));
  put(leader, owner ? el('span', { class: 'cell', title: plain([lock.holder, owner.meta].filter(Boolean).join(': '), 600) },
    el('span', { class: 'who' }, ownerShown(owner)), owner.meta ? el('span', { class: 'meta' }, shown(owner.meta)) : '') : el('span', { class: 'tag bad' }, 'nobody'));
  put(leads, lock.since ? since(lock.since) : '–');
  const rest = waiting - candidates.length;
  set(waits, { title: plain(candidates.map(ownerText).join(', '), 600) });
  put(waits, ...(waiting ? [el('ol', { class: 'candidates' }, candidates.map((candidate) => el('li', null, ownerShown(candidate))),
    rest > 0 ? el('li', { class: 'faint' }, `${number(rest)} more`) : '')] : ['none: nobody would take over']));
  put(last, el('code', null, String(fence ?? '')));
}

export const levels = { danger: 'bad', warning: 'warn', unknown: '', ok: 'good' };

export function healthPage(main) {
  const list = el('div', { class: 'findings' });
  const note = el('p', { class: 'lead' });
  add(main, el('h1', { tabindex: '-1' }, 'Health'), note, list);
  let drawn = null;
  function update() {
    const report = store.health;
    if (!report) {
      setText(note, store.hello && !store.hello.hasHealth ? 'The server is not examined here. redislock doctor does it.' : 'The server is being examined.');
      return;
    }
    if (drawn === report) return;
    drawn = report;
    const worst = report.findings.filter(({ level }) => level === 'danger' || level === 'warning').length;
    setText(note, `${count(report.findings.length, 'check', 'checks')}, ${worst ? count(worst, 'needs attention', 'need attention') : 'nothing to mend'}. Examined at ${time(report.at)}, and again each minute.`);
    put(list, ...report.findings.map((finding) => el('article', { class: `finding ${levels[finding.level]}` },
      el('h2', null, el('span', { class: `tag ${levels[finding.level]}` }, finding.level), ' ', shown(finding.check), finding.node ? el('span', { class: 'faint' }, ' ', shown(finding.node)) : ''),
      el('p', null, shown(finding.found)),
      finding.why ? el('p', { class: 'faint' }, shown(finding.why)) : '',
      finding.fix ? el('p', { class: 'fix' }, el('b', null, 'What mends it: '), el('code', null, shown(finding.fix))) : '')));
  }
  update();
  return { title: 'Health', on: { health: update, hello: update }, tick: () => {} };
}
