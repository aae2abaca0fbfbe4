// The view of the list of tickets: cards while they are few, rows of a table when they are many. There may be thousands:
// the page shows a limited number, and updates a few times a second.

import { Card, stateOf } from './card.js';
import { $, bytes, count, set } from './dom.js';
import { oneLine } from './text.js';
import { onChange, tickets } from './tickets.js';

/** The most tickets that are shown as cards. */
const CARDS = 20;
const ROWS = 100;
const MORE = 200;
/** The most milliseconds between two updates of the table while tickets change. */
const PERIOD = 500;

const cards = { list: $('#list'), of: ticket => new Card(ticket), views: new Map() };
const rows = { list: $('#rows'), of: ticket => new Row(ticket), views: new Map() };
const more = $('#more');
const search = $('#search');
const onlyFailed = $('#only-failed');
const dirty = new Set();
/** The column that the table is sorted by, of `SORTS`. */
let [sorted, isDescending] = ['', false];
let limit = ROWS;
/** The timer and the frame of the next update. */
let [planned, frame] = [null, null];

const STATE_ORDER = ['differs', 'failed', 'active', 'waiting', 'cancelled', 'done'];
const SORTS = {
  name: ({ name }) => name.toLowerCase(),
  size: ({ size }) => size ?? -1,
  state: ticket => STATE_ORDER.indexOf(stateOf(ticket)[0]),
  md5: ({ md5 }) => md5 ?? '~', // After all that have one.
};

export const hasFailed = ({ status, matches }) => status === 'failed' || status === 'refused' || matches === false;

/** Calls `afterwards` each time the list was brought up to date. */
export function showTickets(afterwards) {
  const show = () => {
    clearTimeout(planned);
    [planned, frame] = [null, null];
    render();
    afterwards();
  };
  // Changes of many tickets can wait for a moment; an action of the user can't.
  const plan = ticket => {
    if (ticket) dirty.add(ticket);
    const soon = () => { frame ??= requestAnimationFrame(show); };
    if (ticket && tickets.length > CARDS) planned ??= setTimeout(soon, PERIOD);
    else soon();
  };
  const begin = () => {
    limit = ROWS;
    plan();
  };
  onChange(plan);
  onlyFailed.addEventListener('change', begin);
  search.addEventListener('input', begin);
  for (const button of document.querySelectorAll('#dense thead button')) {
    button.addEventListener('click', () => {
      const by = button.dataset.by;
      // Cycles through ascending, descending, and the order of handing in.
      if (sorted !== by) [sorted, isDescending] = [by, false];
      else if (!isDescending) isDescending = true;
      else sorted = '';
      begin();
    });
  }
  more.addEventListener('click', () => {
    const before = rows.list.children.length;
    limit += MORE;
    render();
    $('a, button', rows.list.children[before])?.focus(); // The button may be gone.
  });
  plan();
}

function render() {
  const isDense = tickets.length > CARDS;
  for (const part of [$('#dense'), $('#find')]) part.hidden = !isDense;
  const wanted = isDense ? ordered(tickets.filter(isWanted)) : tickets;
  fill(cards, isDense ? [] : tickets);
  fill(rows, isDense ? wanted.slice(0, limit) : []);
  const hidden = Math.max(0, wanted.length - limit);
  more.hidden = !isDense || !hidden;
  set(more, `Show more (${count(hidden)} are not shown)`);
  const isNarrowed = isDense && wanted.length < tickets.length;
  set($('#found-words'), isNarrowed ? `${count(wanted.length)} of ${count(tickets.length)} tickets` : '');
  for (const ticket of dirty) for (const { views } of [cards, rows]) views.get(ticket)?.update();
  dirty.clear();
}

function isWanted(ticket) {
  if (onlyFailed.checked && !hasFailed(ticket)) return false;
  const text = search.value.trim().toLowerCase();
  return !text || [ticket.name, ticket.id, ticket.md5, ticket.error].some(field => field?.toLowerCase().includes(text));
}

function ordered(found) {
  for (const header of document.querySelectorAll('#dense thead th')) {
    const isSorted = sorted && $('button', header)?.dataset.by === sorted;
    header.ariaSort = !isSorted ? null : isDescending ? 'descending' : 'ascending';
  }
  if (!sorted) return found;
  const keyed = found.map(ticket => ({ ticket, key: SORTS[sorted](ticket) }));
  keyed.sort((one, other) => (one.key < other.key ? -1 : Number(one.key > other.key)) * (isDescending ? -1 : 1));
  return keyed.map(({ ticket }) => ticket);
}

/** Has a list show these tickets in their order. */
function fill({ list, of, views }, shown) {
  const kept = new Set(shown);
  for (const [ticket, view] of views) {
    if (kept.has(ticket)) continue;
    view.element.remove();
    views.delete(ticket);
  }
  shown.forEach((ticket, at) => {
    if (!views.has(ticket)) views.set(ticket, of(ticket));
    const { element } = views.get(ticket);
    // Elements at the right place already are not moved, so that they keep the focus.
    if (list.children[at] !== element) list.insertBefore(element, list.children[at] ?? null);
  });
}

class Row {
  constructor(ticket) {
    this.ticket = ticket;
    this.element = $('#ticket-row').content.firstElementChild.cloneNode(true);
    const name = oneLine(ticket.name);
    set(this.part('bdi'), name);
    this.part('.name').title = name;
    set(this.part('.size'), ticket.size === undefined ? '' : bytes(ticket.size));
    this.part('.cancel').ariaLabel = `Cancel: ${name}`;
    this.part('.retry').ariaLabel = `Try again: ${name}`;
    this.part('.cancel').onclick = () => ticket.cancel();
    this.part('.retry').onclick = () => ticket.retry();
    this.update();
  }

  part(selector) { return $(selector, this.element); }

  update() {
    const { ticket } = this;
    const { id, md5, error, note, expected, matches } = ticket;
    const [kind, words] = stateOf(ticket);
    this.element.dataset.state = kind;
    set(this.part('.state'), words);
    set(this.part('.why'), error || note || (matches === false ? `Expected: ${expected}` : ''));
    set(this.part('.digest code'), md5 ?? '');
    // Without an id it is not a link yet.
    if (id) this.part('a').href = `/?id=${id}`;
    this.part('.cancel').hidden = ticket.hasEnded;
    this.part('.retry').hidden = !ticket.canRetry;
  }
}
