// The view of a file's ticket: the words for its state, and the card that shows everything.

import { $, View, bytes, set } from './dom.js';
import { readLine } from './digests.js';
import { tell } from './news.js';
import { oneLine } from './text.js';

const STATES = {
  waiting: ['waiting', 'Waiting to be sent'],
  sending: ['active', 'Sending'],
  sent: ['active', 'Sent, waiting for the ticket'],
  pending: ['waiting', 'In the queue'],
  running: ['active', 'Being hashed'],
  succeeded: ['done', 'Done'],
  failed: ['failed', 'Failed'],
  refused: ['failed', 'Rejected'],
  cancelled: ['cancelled', 'Cancelled'],
};
const HELD_UP = ['waiting', 'Waiting for another try'];
const DIFFERS = ['differs', 'Done, but it differs'];

/** Returns the kind of a state (waiting, active, done, differs, failed, cancelled), which gives the colour, and words for the meaning. */
export function stateOf({ status, isHeldUp, matches, sent }) {
  if (isHeldUp) return HELD_UP;
  if (matches === false) return DIFFERS;
  const [kind, words] = STATES[status] ?? ['waiting', status];
  return [kind, status === 'sending' ? `${words}, ${Math.floor(100 * sent)} %` : words];
}

export class Card extends View {
  constructor(ticket) {
    super(ticket, '#ticket');
    const name = oneLine(ticket.name);
    set(this.part('bdi'), name);
    this.set('.size', ticket.size === undefined ? '' : bytes(ticket.size));
    this.part('progress').ariaLabel = `Progress of ${name}`;
    this.name({ '.id .copy': 'Copy the id of', '.digest .copy': 'Copy the digest of', '.cancel': 'Cancel:', '.retry': 'Try again:' }, name);
    this.set('summary .unseen', ` of ${name}`);
    this.part('.expected').ariaLabel = `Expected digest of ${name}`;
    this.part('.retry').onclick = () => ticket.retry();
    this.part('.expected').oninput = ({ target }) => this.compare(target);
    this.part('.expected').value = ticket.expected;
    this.update();
  }

  update() {
    const { ticket } = this;
    const { id, md5, sent, error, note } = ticket;
    const [kind, words] = stateOf(ticket);
    this.element.dataset.state = kind;
    this.set('.state', words);
    this.set('.note', note);
    this.set('p.error', error);
    this.value('.id', id);
    if (id) this.part('.id a').href = `/?id=${id}`;
    this.value('.digest', md5);
    const bar = this.part('progress');
    // Once the ticket is there, the time left is unknown.
    if (id) bar.removeAttribute('value');
    else bar.value = sent;

    this.show({ '.cancel': !ticket.hasEnded, '.retry': ticket.canRetry, '.compare': id && (md5 || !ticket.hasEnded) });
    this.part('.verdict').dataset.matches = ticket.matches ?? '';
    this.set('.verdict', verdict(ticket));
  }

  value(row, text) {
    this.part(row).hidden = !text;
    this.set(`${row} code`, text ?? '');
  }

  compare(field) {
    const digest = field.value.trim() ? readLine(field.value)?.digest : '';
    const isWrong = digest === undefined;
    field.ariaInvalid = String(isWrong);
    this.set('.compare .error', isWrong ? 'Expected an MD5 digest: 32 characters, 0 to 9 and a to f.' : '');
    this.ticket.set({ expected: digest ?? '' });
    if (this.ticket.matches !== null) tell(verdict(this.ticket));
  }
}

function verdict({ matches, expected }) {
  if (matches) return '✓ It matches the expected digest.';
  if (matches === false) return `✗ It differs from the expected digest, ${expected}.`;
  return expected ? 'It will be compared as soon as the digest is here.' : '';
}
