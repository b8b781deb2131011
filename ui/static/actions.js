// The actions on a lock. Each has a dialog that names the lock and its holders. They are there only if the server
// allows them.
import { el, put, setText } from './dom.js';
import { store } from './store.js';
import { post } from './stream.js';
import { count, nameOf, number, ownerShown, shown } from './text.js';

const maxReason = 512; // bytes

export function ask(id, name) {
  dialog({
    id, name,
    title: 'Ask the holders to give the lock up',
    text: 'They are told, with your reason. Nothing is taken: they decide.',
    submit: 'Ask',
    send: (why) => post('api/ask', { id, why }),
    done: ({ told }) => (told ? `${count(told, 'holder was', 'holders were')} told.` : 'No holder was told: nobody holds the lock, or the holder cannot be reached.'),
  });
}

export function breakLock(id, name) {
  const holds = store.lock?.holds ?? [];
  const rest = (store.lock?.held ?? 0) - holds.length;
  dialog({
    id, name,
    title: 'Break the lock',
    text: 'The lock is taken from its holders at once and goes to the next who waits. They are told, but may be in the middle of their work: only what checks the fence is safe from what they still write.',
    warning: store.lock?.instead ? ['To end the deadlock, the lock to break is another: ', shown(nameOf(store.lock.instead)), '.'] : rest > 0 ? `Only the ${number(holds.length)} holders that are shown lose it: ${holdOn(rest)}.` : '',
    submit: 'Break', danger: true,
    send: (why, confirm) => post('api/break', { id, why, confirm, fences: holds.map(({ fence }) => fence) }),
    done: ({ fence, broke, left }) => (broke > 1 ? `Broken: ${number(broke)} holds have ended, the last of them with fence ${fence}.` : `Broken: the hold with fence ${fence} has ended.`) +
      (left ? ` Not all: ${holdOn(left)}, which were not shown.` : ''),
  });
}

const holdOn = (n) => count(n, 'other holds on', 'others hold on');

function dialog({ name, title, text, warning, submit, danger, send, done }) {
  const box = document.getElementById('act');
  const from = document.activeElement;
  const { holds = [], held = 0 } = store.lock ?? {};
  const why = el('textarea', { id: 'why', rows: 2, required: true, maxlength: maxReason, 'aria-describedby': 'why-hint' });
  const typed = danger ? el('input', { id: 'confirm', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', required: true }) : null;
  const result = el('p', { class: 'result', role: 'alert' });
  const go = el('button', { type: 'submit', class: danger ? 'danger' : 'strong' }, submit);
  const cancel = el('button', { type: 'button', onclick: () => box.close() }, 'Cancel');
  const ready = () => { go.disabled = !why.value.trim() || (typed !== null && typed.value.trim() !== 'break'); };
  const form = el('form', { onsubmit: async (event) => {
    event.preventDefault();
    go.disabled = true;
    setText(result, '');
    try {
      const { ok, data } = await send(why.value.trim(), typed?.value.trim() ?? '');
      if (ok) {
        put(form, el('h2', { id: 'act-title' }, title), el('p', { class: 'result', role: 'status', id: 'done' }, done(data)), el('div', { class: 'buttons' }, close));
        close.focus();
        return;
      }
      put(result, shown(data.error ?? 'That did not work.'));
    } catch {
      setText(result, 'No connection to redislock ui. Look at the lock before you try again.');
    }
    ready();
  } },
  el('h2', { id: 'act-title' }, title),
  el('p', { class: 'target' }, shown(name)),
  el('p', null, held > 1 ? `${number(held)} hold it, among them ` : holds[0]?.kept ? 'Given back, and kept for a while, by ' : 'Held by ', holds.length ? el('b', null, ownerShown(holds[0].owner)) : 'nobody',
    holds[0]?.owner.meta ? el('span', { class: 'meta' }, shown(holds[0].owner.meta)) : ''),
  el('p', { class: 'faint' }, text),
  warning ? el('p', { class: 'warning' }, ...[warning].flat()) : [],
  el('label', { for: 'why' }, 'Reason'), why, el('p', { class: 'hint', id: 'why-hint' }, 'The holder sees it.'),
  typed ? [el('label', { for: 'confirm' }, 'Type ', el('code', null, 'break'), ' to confirm'), typed] : [],
  result, el('div', { class: 'buttons' }, cancel, go));
  const close = el('button', { type: 'button', class: 'strong', onclick: () => box.close() }, 'Close');
  form.addEventListener('input', ready);
  ready();
  put(box, form);
  box.onclose = () => {
    put(box);
    if (from?.isConnected) from.focus();
  };
  box.showModal();
  why.focus();
}
