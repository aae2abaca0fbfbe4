// The messages that were sent from this page: what is known of each, and how it is seen.

import { $, View } from './dom.js';
import { History } from './history.js';
import { report } from './news.js';
import { expire } from './session.js';
import { isBlocked } from './standing.js';
import { Ticket, follow } from './ticket.js';

const STATES = {
  pending: ['waiting', 'Waiting'],
  running: ['active', 'Being answered'],
  succeeded: ['done', 'Answered'],
  failed: ['failed', 'Failed'],
  cancelled: ['cancelled', 'Cancelled'],
};
const FIELDS = { needed: ['id', 'text', 'status'], more: ['created', 'asked', 'mayPay', 'provider', 'reply', 'error'] };
/** Characters of a heading; a longer text can be unfolded. */
const HEADING = 120;

const list = $('#list');

/** Newest first. */
let messages = [];
let history = null;

class Message extends Ticket {
  failure = 'The message failed. Send it again.';

  constructor(fields) {
    super();
    Object.assign(this, fields);
    this.view = new MessageView(this);
  }

  /** What is dropped is nobody's concern any more, as if it had ended. */
  get hasEnded() { return this.isDropped || super.hasEnded; }

  /** Whether only the free provider may answer it, and that takes nothing. */
  get waits() {
    return isBlocked() && !this.hasEnded && (this.asked === 'free' || (this.asked === 'auto' && !this.mayPay));
  }

  changed() {
    if (this.isDropped) return;
    this.view.update();
    if (this.hasEnded) {
      const how = STATES[this.status][1].toLowerCase() + (this.provider ? ` by the ${this.provider} provider.` : `. ${this.error}`);
      report(`${heading(this.text)}: ${how}`, () => `${messages.filter(({ hasEnded }) => hasEnded).length} messages have ended.`);
    }
    refresh();
  }

  read({ input, result }) {
    return {
      text: input.text,
      asked: input.provider,
      mayPay: input.may_pay,
      provider: result?.provider ?? '',
      reply: result ? JSON.stringify(result.reply, null, 2) : '',
    };
  }

  /** The ticket is not lost with the log-in. */
  async giveUp(error) {
    if (error.status === 401) await expire();
    else await super.giveUp(error);
  }
}

class MessageView extends View {
  constructor(message) {
    super(message, '#message');
  }

  update() {
    const { id, text, status, provider, reply, error, note, hasEnded, waits } = this.ticket;
    const short = heading(text);
    const [kind, words] = STATES[waits ? 'pending' : status];
    this.element.dataset.state = kind;
    this.set('.state', words);
    this.set('.name bdi', short);
    this.set('.whole bdi', text);
    this.set('.whole .unseen', ` of ${short}`);
    this.set('.id code', id);
    this.set('.provider span', `The ${provider} provider`);
    this.set('.reply bdi', reply);
    this.set('.note', note || (waits ? 'It waits until the free provider opens.' : ''));
    this.set('.error', error);
    this.name({ '.copy': 'Copy the ticket of', '.cancel': 'Cancel:' }, short);
    this.show({ '.whole': short !== text, '.provider': provider, '.reply': provider, '.cancel': !hasEnded });
  }
}

function heading(text) {
  const line = text.trim().split('\n')[0];
  const characters = [...line].slice(0, HEADING).join('');
  return characters === text ? text : `${characters} …`;
}

/** Shows the messages that a user has sent from this browser, in place of another's. */
export function restore(user) {
  drop(messages);
  history = new History(`coatcheck-messages-${user.id}`, FIELDS);
  messages = history.load().map(fields => new Message(fields));
  for (const { view } of messages) {
    view.update();
    list.append(view.element);
  }
  messages.forEach(follow);
  refresh();
}

/** Puts a message on top of the list, given as its task. */
export function add(task) {
  const message = new Message({});
  messages.unshift(message);
  message.update(task);
  list.prepend(message.view.element);
  follow(message);
}

/** Shows what has changed for those that wait. */
export function update() {
  messages.forEach(({ view }) => view.update());
}

/** Takes those off the list that have ended. */
export function clear() {
  history.clear();
  drop(messages.filter(({ hasEnded }) => hasEnded));
  refresh();
  $($('#sent').hidden ? '#text' : '#sent-title').focus(); // The button may be gone.
}

/** Takes all off the page; they are still kept. */
export function forget() {
  drop(messages);
}

function drop(dropped) {
  for (const message of dropped) {
    message.isDropped = true;
    message.view.element.remove();
  }
  messages = messages.filter(({ isDropped }) => !isDropped);
}

function refresh() {
  $('#sent').hidden = !messages.length;
  $('#clear').hidden = !messages.some(({ hasEnded }) => hasEnded);
  history.save(messages);
}
