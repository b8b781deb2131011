// The pages of cron jobs, of elections and of the server's health.
import { moment, since, tick, until, now } from './clock.js';
import { add, arrange, el, fillRows, setText } from './dom.js';
import { store } from './store.js';
import { processShown } from './process.js';
import { stepsOf } from './trouble.js';
import { count, duration, nameOf, number, plain, shown, time } from './text.js';

// page is a heading, a table and a sentence for when there is nothing.
function page(main, { title, columns, lead }) {
  const body = el('tbody');
  const note = el('p', { class: 'note' });
  const table = el('table', { class: 'small', 'aria-label': title }, el('thead', null, el('tr', null, columns.map((column) => el('th', { scope: 'col' }, column)))), body);
  add(main, el('h1', { tabindex: '-1' }, title), el('p', { class: 'lead' }, lead), el('div', { class: 'wide' }, table), note);
  return (items, keyOf, cells, none, more = 0) => {
    fillRows(body, items, keyOf, (item) => el('tr', { class: item.rowClass }, cells(item).map((cell, i) => el(i ? 'td' : 'th', { scope: i ? null : 'row', 'data-column': columns[i] }, el('div', { class: 'value' }, ...[cell].flat())))));
    table.hidden = items.length === 0;
    setText(note, !items.length ? none : more ? `${number(more)} more are not shown.` : '');
    note.hidden = items.length > 0 && !more;
  };
}

// noPage is shown for an address that names no page.
export function noPage(main) {
  add(main, el('h1', { tabindex: '-1' }, 'No such page'), el('p', { class: 'lead' }, 'This address names none. ', el('a', { href: '#/' }, 'All locks')));
  return { title: 'No such page', on: {}, tick: () => {} };
}

// strip shows how the last runs ended, with a mark for each. Its label says the same in words.
function strip(runs) {
  if (!runs.length) return el('span', { class: 'faint' }, 'none seen');
  const words = runs.map((run) => `${time(run.tick)}: ${run.outcome}${run.took ? ` in ${duration(run.took)}` : ''}`);
  return el('span', { class: 'strip', role: 'img', 'aria-label': `the last ${count(runs.length, 'run', 'runs')}: ${words.join(', ')}` },
    runs.map((run, i) => el('span', { class: `run ${outcomes[run.outcome] ?? ''}`, title: words[i] })));
}

const outcomes = { ran: 'good', failed: 'bad', died: 'bad', damaged: 'bad', running: 'busy' };

export function cronPage(main) {
  const show = page(main, { title: 'Cron', columns: ['Job', 'Last outcome', 'Runs', 'Last run', 'Took', 'Next run', 'Node'], lead: 'Jobs that ran or were announced within the last 400 days, and how the last runs ended that were seen here or are kept (WithHistory), the last at the right.' });
  function update() {
    const jobs = (store.jobs ?? []).map((job) => ({ ...job, late: Boolean(job.next) && job.next < now() - 60_000 && job.outcome !== 'running' }));
    show(jobs, (job) => job.id, (job) => [
      el('a', { href: `#/lock/cron:${job.id}` }, shown(nameOf(job.id))),
      [el('span', { class: `tag ${job.late && job.outcome === 'ran' ? '' : outcomes[job.outcome] ?? ''}` }, job.outcome), job.error ? el('span', { class: 'meta' }, shown(job.error)) : ''],
      strip(job.runs ?? []),
      job.outcome === 'pending' ? el('span', { class: 'faint' }, 'none yet') : job.start ? [moment(job.start), ' ', el('span', { class: 'faint' }, '(', since(job.start), ' ago)')] : 'not known',
      job.end ? duration(job.end - job.start) : job.outcome === 'running' ? [since(job.start), ' so far'] : job.outcome === 'pending' ? '' : 'not known',
      job.next ? [moment(job.next), ' ', el('span', { class: job.late ? 'tag bad' : 'faint' }, job.late ? 'overdue, was due ' : '(', until(job.next), job.late ? '' : ')')] : el('span', { class: 'faint' }, 'not known'),
      job.outcome === 'damaged' ? 'not known' : [job.outcome === 'pending' ? el('span', { class: 'faint' }, 'announced by ') : '', processShown(job.node), job.node.meta ? el('span', { class: 'meta' }, shown(job.node.meta)) : ''],
    ], store.jobs ? 'No job is known under this prefix. redislock cron, run --tick and Client.Cron make jobs; one is shown here from its first run on, and from before it if it was announced.' : 'Loading.');
  }
  update();
  return { title: 'Cron', on: { cron: update, jobs: update, hello: update }, tick: () => { update(); tick(main); } };
}

const mostElections = 200;

export function electionsPage(main) {
  const show = page(main, { title: 'Elections', columns: ['Election', 'Leader', 'Leads for', 'Candidates', 'Fence'], lead: 'Who leads, and who would next.' });
  let later = null;
  let drawn = 0;
  function update() {
    clearTimeout(later);
    later = null;
    drawn = performance.now();
    const elections = [...store.locks.values()].filter(({ kind, held, waiting, id }) => kind === 'elect' && (held || waiting || store.trouble?.locks[id])).sort((a, b) => (a.id < b.id ? -1 : 1));
    const items = elections.slice(0, mostElections).map(({ id, name, owner, since: from, waiting = 0, waiters = [], fence }) => ({ id, name, owner, from, waiting, waiters, fence }));
    show(items, ({ id }) => id, ({ id, name, owner, from, waiting, waiters, fence }) => [
      el('a', { href: `#/lock/${id}`, class: 'lock', title: plain(name, 600) }, shown(name.slice('elect:'.length))),
      owner ? [processShown(owner), owner.meta ? el('span', { class: 'meta' }, shown(owner.meta)) : ''] : el('span', { class: 'tag bad' }, 'nobody'),
      from ? since(from) : '–',
      waiting ? [el('b', null, number(waiting)), el('ol', { class: 'candidates' }, waiters.map((candidate) => el('li', null, processShown(candidate)))), waiting > waiters.length ? el('span', { class: 'faint' }, `${number(waiting - waiters.length)} more`) : '']
        : owner ? 'none: nobody would take over' : 'none',
      el('code', null, String(fence ?? '')),
    ], store.complete ? 'Nobody campaigns under this prefix. Client.Elect makes an election; it is shown here as soon as it has a candidate.' : 'Loading.', elections.length - items.length);
  }
  const changed = () => { later ??= setTimeout(update, Math.max(0, 250 - (performance.now() - drawn))); };
  update();
  return { title: 'Elections', on: { locks: changed, status: changed, trouble: changed }, tick: () => tick(main), leave: () => clearTimeout(later) };
}

export const levels = { danger: 'bad', warning: 'warn', unknown: '', ok: 'good' };

export function healthPage(main) {
  const list = el('div', { class: 'findings' });
  const note = el('p', { class: 'lead' });
  add(main, el('h1', { tabindex: '-1' }, 'Health'), note, list);
  const known = new Map(); // by their text
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
    setText(note, `${count(report.findings.length, 'check', 'checks')}, ${worst ? count(worst, 'needs attention', 'need attention') : 'nothing to mend'}. Examined at ${time(report.at)}, and again ${report.pause < 60_000 ? `every ${duration(report.pause)}` : 'each minute'}.`);
    arrange(list, report.findings.map((finding) => {
      const text = JSON.stringify(finding);
      return known.get(text) ?? known.set(text, findingShown(finding)).get(text); // what has not changed stays, with what is selected in it
    }));
    for (const [text, node] of known) if (!node.isConnected) known.delete(text);
  }
  update();
  return { title: 'Health', on: { health: update, hello: update }, tick: () => tick(main) };
}

const findingShown = (finding) => el('article', { class: `finding ${levels[finding.level]}` },
  el('h2', null, el('span', { class: `tag ${levels[finding.level]}` }, finding.level), ' ', shown(finding.check), finding.node ? el('span', { class: 'faint' }, ' ', shown(finding.node)) : ''),
  el('p', null, shown(finding.found)),
  finding.why ? el('p', { class: 'faint' }, shown(finding.why)) : '',
  finding.since ? el('p', { class: 'faint' }, 'Since ', moment(finding.since), ', for ', since(finding.since), '.') : '',
  finding.steps.length ? stepsOf(finding.steps) : '');
