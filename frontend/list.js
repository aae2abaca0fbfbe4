// The list of tickets as it is seen. Thousands may be in it: only so many are on the page, and at most once a frame.

import { $, View, bytes, count } from './dom.js';
import { readLine } from './digests.js';
import { tell } from './news.js';
import { onChange, tickets } from './tickets.js';

const MORE = 50;
const STATES = {
  waiting: ['waiting', 'Waiting to be sent'],
  sending: ['active', 'Sending'],
  sent: ['active', 'Sent, waiting for the ticket'],
  pending: ['waiting', 'In the queue'],
  running: ['active', 'Being hashed'],
  succeeded: ['done', 'Done'],
  failed: ['failed', 'Failed'],
  refused: ['failed', 'Failed'],
  cancelled: ['cancelled', 'Cancelled'],
};

const list = $('#list');
const more = $('#more');
const onlyFailed = $('#only-failed');
const elements = new Map();
let limit = MORE;
let hasNewOrder = true;
let isPlanned = false;
const dirty = new Set();

export const hasFailed = ({ status }) => status === 'failed' || status === 'refused';

/** Calls `afterwards` each time the list was brought up to date. */
export function showTickets(afterwards) {
  const plan = ticket => {
    if (ticket) dirty.add(ticket);
    else hasNewOrder = true;
    if (isPlanned) return;
    isPlanned = true;
    requestAnimationFrame(() => {
      isPlanned = false;
      render();
      afterwards();
    });
  };
  onChange(plan);
  onlyFailed.addEventListener('change', () => plan());
  more.addEventListener('click', () => {
    const before = list.children.length;
    limit += 2 * MORE;
    hasNewOrder = true;
    render();
    $('h3', list.children[before])?.focus(); // The button may be gone.
  });
  plan();
}

function render() {
  const failures = tickets.filter(hasFailed).length;
  onlyFailed.parentElement.hidden = !onlyFailed.checked && (failures === 0 || tickets.length <= MORE);
  if (hasNewOrder || onlyFailed.checked) {
    hasNewOrder = false;
    const wanted = onlyFailed.checked ? tickets.filter(hasFailed) : tickets;
    const shown = wanted.slice(0, limit);
    const kept = new Set(shown);
    for (const [ticket, view] of elements) {
      if (kept.has(ticket)) continue;
      view.element.remove();
      elements.delete(ticket);
    }
    shown.forEach((ticket, at) => {
      if (!elements.has(ticket)) elements.set(ticket, new FileView(ticket));
      const { element } = elements.get(ticket);
      // Those that stand right already are left alone: moved, they would lose the focus.
      if (list.children[at] !== element) list.insertBefore(element, list.children[at] ?? null);
    });
    more.hidden = wanted.length <= limit;
    more.textContent = `Show more (${count(wanted.length - shown.length)} are not shown)`;
  }
  for (const ticket of dirty) elements.get(ticket)?.update();
  dirty.clear();
}

class FileView extends View {
  constructor(ticket) {
    super(ticket, '#ticket');
    const { name } = ticket;
    this.part('bdi').textContent = name;
    this.part('.size').textContent = ticket.size === undefined ? '' : bytes(ticket.size);
    this.part('progress').ariaLabel = `Progress of ${name}`;
    this.name({ '.id .copy': 'Copy the id of', '.digest .copy': 'Copy the digest of', '.cancel': 'Cancel:', '.retry': 'Try again:' }, name);
    this.part('summary .unseen').textContent = ` of ${name}`;
    this.part('.expected').ariaLabel = `Expected digest of ${name}`;
    this.part('.retry').onclick = () => ticket.retry();
    this.part('.expected').oninput = ({ target }) => this.compare(target);
    this.part('.expected').value = ticket.expected;
    this.update();
  }

  /** The kind of state (waiting, active, done, failed, cancelled) gives the colour, words the meaning. */
  update() {
    const { ticket } = this;
    const { id, md5, status, sent, error, note } = ticket;
    const [kind, words] = STATES[status] ?? ['waiting', status];
    this.element.dataset.state = kind;
    this.set('.state', status === 'sending' ? `${words}, ${Math.floor(100 * sent)} %` : words);
    this.set('.note', note);
    this.set('p.error', error);
    this.value('.id', id);
    this.value('.digest', md5);
    const bar = this.part('progress');
    // With the ticket nobody knows how long it takes.
    if (id) bar.removeAttribute('value');
    else bar.value = sent;

    this.show({ '.cancel': !ticket.hasEnded, '.retry': ticket.canRetry, '.compare': id && (md5 || !ticket.hasEnded) });
    this.showVerdict();
  }

  value(row, text) {
    this.part(row).hidden = !text;
    this.set(`${row} code`, text ?? '');
  }

  compare(field) {
    const digest = field.value.trim() ? readLine(field.value)?.digest : '';
    const isWrong = digest === undefined;
    field.ariaInvalid = String(isWrong);
    this.set('.compare .error', isWrong ? 'That is no MD5 digest. One has 32 characters, 0 to 9 and a to f.' : '');
    this.ticket.set({ expected: digest ?? '' });
    if (this.ticket.matches !== null) tell(this.part('.verdict').textContent || verdict(this.ticket));
  }

  showVerdict() {
    const { matches } = this.ticket;
    const part = this.part('.verdict');
    part.dataset.matches = matches ?? '';
    this.set('.verdict', verdict(this.ticket));
  }
}

function verdict({ matches, expected }) {
  if (matches) return '✓ It matches the expected digest.';
  if (matches === false) return `✗ It differs from the expected digest, ${expected}.`;
  return expected ? 'It will be compared as soon as the digest is here.' : '';
}
