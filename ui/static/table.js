// A table of any length. Only the visible rows, and some above and below, are in the page. It tells screen readers its
// true length.
import { arrange, el, set } from './dom.js';

const beyond = 8; // rows above and below those that can be seen

// VirtualTable shows items that have an id. columns are { key, title, class }; draw(item) makes the cells of a row,
// change(row, item) brings one up to date; each row has one link, which the arrow keys go along.
// sort(key) is called to change the order; without sort there is one order.
export class VirtualTable {
  items = [];
  rows = new Map();
  active = null; // the id of the one row whose link the Tab key stops at
  at = 0; // the index of that row, or where it was

  constructor({ label, columns, height, draw, change, sort }) {
    Object.assign(this, { height, draw, change });
    this.headers = columns.map(({ key, title, name: label, class: name }) => el('th', { scope: 'col', class: name, 'aria-sort': sort && 'none', 'data-key': key },
      !sort ? el('span', { class: 'title' }, title) : el('button', { type: 'button', title: label, 'aria-label': label, onclick: () => sort(key) }, title, el('span', { class: 'arrow', 'aria-hidden': 'true' }))));
    this.above = el('tr', { 'aria-hidden': 'true', class: 'spacer' }, el('td', { colspan: columns.length }));
    this.below = el('tr', { 'aria-hidden': 'true', class: 'spacer' }, el('td', { colspan: columns.length }));
    this.body = el('tbody', { onkeydown: (event) => this.key(event), onfocusin: (event) => this.focused(event) }, this.above, this.below);
    this.table = el('table', { class: 'list', 'aria-label': label, 'aria-rowcount': 1 },
      el('thead', null, el('tr', { 'aria-rowindex': 1 }, this.headers)), this.body);
    this.scroller = el('div', { class: 'scroller', tabindex: '0', role: 'region', 'aria-label': label, onscroll: () => this.later(), onkeydown: (event) => {
      if (event.target === this.scroller) this.key(event);
    } }, this.table);
    this.observer = new ResizeObserver(() => this.later());
    this.observer.observe(this.scroller);
  }

  end() {
    this.observer.disconnect();
  }

  sorted(column, order) {
    for (const th of this.headers) set(th, { 'aria-sort': th.dataset.key === column ? order : 'none' });
  }

  show(items) {
    this.items = items;
    set(this.table, { 'aria-rowcount': String(items.length + 1) });
    if (this.active) {
      const at = items.findIndex(({ id }) => id === this.active);
      if (at >= 0) this.at = at;
    }
    this.render();
  }

  later() {
    this.frame ??= requestAnimationFrame(() => this.render());
  }

  render() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    const { scrollTop, clientHeight } = this.scroller;
    const first = Math.max(0, Math.min(Math.floor(scrollTop / this.height), this.items.length) - beyond);
    const last = Math.min(this.items.length, Math.ceil((scrollTop + clientHeight) / this.height) + beyond);
    const had = document.activeElement?.closest('tr')?.dataset.id;
    const held = had !== undefined && this.body.contains(document.activeElement);
    const rows = new Map();
    for (let i = first; i < last; i++) {
      const item = this.items[i];
      let row = this.rows.get(item.id);
      if (!row) {
        row = this.draw(item);
        row.dataset.id = item.id;
      }
      this.change(row, item);
      set(row, { 'aria-rowindex': String(i + 2) });
      row.classList.toggle('odd', i % 2 === 1);
      rows.set(item.id, row);
    }
    this.rows = rows;
    if (!rows.has(this.active)) this.active = this.items[Math.min(Math.max(this.at, first), last - 1)]?.id ?? null;
    for (const [id, row] of rows) row.querySelector('a').tabIndex = id === this.active ? 0 : -1;
    this.above.firstChild.style.height = `${first * this.height}px`;
    this.below.firstChild.style.height = `${(this.items.length - last) * this.height}px`;
    arrange(this.body, [this.above, ...rows.values(), this.below]);
    if (held && !rows.has(had)) { // the row with the focus is gone: the focus goes to the row in its place, or else to the list
      const next = rows.get(this.active)?.querySelector('a');
      (this.items.some(({ id }) => id === had) || !next ? this.scroller : next).focus({ preventScroll: true });
    }
  }

  focused(event) {
    const row = event.target.closest('tr[data-id]');
    if (!row) return;
    this.active = row.dataset.id;
    this.at = this.items.findIndex(({ id }) => id === this.active);
    for (const [id, other] of this.rows) other.querySelector('a').tabIndex = id === this.active ? 0 : -1;
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.height) - 2);
    const inside = this.body.contains(event.target);
    const step = { ArrowDown: inside ? 1 : 0, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined || this.items.length === 0) return;
    event.preventDefault();
    this.go(Math.min(Math.max(this.at + step, 0), this.items.length - 1));
  }

  // go moves the focus to a row, also to one that is not visible.
  go(i) {
    if (i < 0 || i >= this.items.length) return;
    const head = this.table.tHead.offsetHeight;
    const { scrollTop, clientHeight } = this.scroller;
    const top = i * this.height;
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (top + this.height + head > scrollTop + clientHeight) this.scroller.scrollTop = top + this.height + head - clientHeight;
    this.at = i;
    this.active = this.items[i].id;
    this.render();
    this.rows.get(this.active)?.querySelector('a').focus({ preventScroll: true });
  }

  // find moves the focus to the row of an id, if there is one.
  find(id) {
    this.go(this.items.findIndex((item) => item.id === id));
  }
}
