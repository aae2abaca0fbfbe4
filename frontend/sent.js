// The messages sent from this page: what is known of each, and its view.

import { Refusal, find } from './api.js';
import { $, View, set } from './dom.js';
import { History } from './history.js';
import { report } from './news.js';
import { offerUndo } from './undo.js';
import { expire } from './session.js';
import { isBlocked } from './standing.js';
import { oneLine } from './text.js';
import { Ticket, addressOf, follow } from './ticket.js';

const STATES = {
  pending: ['waiting', 'Waiting'],
  running: ['active', 'Being answered'],
  succeeded: ['done', 'Answered'],
  failed: ['failed', 'Failed'],
  cancelled: ['cancelled', 'Cancelled'],
};
const FIELDS = { needed: ['id', 'text', 'status'], more: ['created', 'asked', 'mayPay', 'provider', 'reply', 'error'] };
/** The most characters of a heading; a longer text can be unfolded. */
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

  /** Whether only the free provider may answer it, and is blocked. */
  get waits() {
    return isBlocked() && !this.hasEnded && (this.asked === 'free' || (this.asked === 'auto' && !this.mayPay));
  }

  changed() {
    if (this.isDropped) return;
    this.view.update();
    if (this.hasEnded) {
      const how = STATES[this.status][1].toLowerCase() + (this.provider ? ` by the ${this.provider} provider.` : `. ${this.error}`);
      report(`${oneLine(heading(this.text))}: ${how}`, () => `${messages.filter(({ hasEnded }) => hasEnded).length} messages have ended.`);
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
    const { id, text, status, provider, reply, error, note, hasEnded, waits, isHeldUp } = this.ticket;
    const short = oneLine(heading(text));
    const [kind, words] = STATES[waits || isHeldUp ? 'pending' : status];
    this.element.dataset.state = kind;
    this.set('.state', words);
    this.set('.name bdi', short);
    this.set('.whole bdi', text);
    this.set('.whole .unseen', ` of ${short}`);
    this.set('.id code', id);
    this.part('.id a').href = `/messages?id=${id}`;
    this.set('.provider span', `The ${provider} provider`);
    this.set('.reply bdi', reply);
    this.set('.note', note || (waits ? 'It waits until the free provider opens.' : ''));
    this.set('.error', error);
    this.name({ '.copy': 'Copy the ticket of', '.cancel': 'Cancel:' }, short);
    this.show({ '.whole': short !== oneLine(text), '.provider': provider, '.reply': provider, '.cancel': !hasEnded });
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

/** Puts the message of a task on top of the list. */
export function add(task) {
  const message = new Message({});
  messages.unshift(message);
  message.update(task);
  list.prepend(message.view.element);
  follow(message);
}

/** Updates the waiting messages. */
export function update() {
  messages.forEach(({ view }) => view.update());
}

/** The message that was looked up; it may be another user's, so it is not on the list. */
let found = null;

/** Shows the message that the page's address names, if it names any. */
export async function lookUp() {
  close();
  const id = new URLSearchParams(location.search).get('id');
  if (!id) return;
  try {
    const task = await find(encodeURIComponent(id));
    const address = addressOf(task);
    if (task.kind !== 'message') return address ? location.replace(address) : set($('#found-error'), `It is a task of the kind “${task.kind}”.`);
    found = new Message({});
    found.update(task);
    $('#found-list').replaceChildren(found.view.element);
    follow(found);
  } catch (error) {
    // The page shows the log-in form if one is required.
    if (error.status === 401) return;
    set($('#found-error'), error instanceof Refusal ? error.message : 'The server can’t be reached. Check the connection and try again.');
  }
  $('#found').hidden = false;
}

function close() {
  if (found) found.isDropped = true;
  found = null;
  $('#found').hidden = true;
  $('#found-list').replaceChildren();
  set($('#found-error'), '');
}

$('#close-found').addEventListener('click', () => {
  window.history.replaceState(null, '', '/messages');
  close();
});

/** Removes the ended messages from the list, which can be undone. */
export function clear() {
  const cleared = messages.filter(({ hasEnded }) => hasEnded);
  const before = [...messages];
  const [restoreKept, of] = [history.clear(), history];
  drop(cleared);
  refresh();
  offerUndo($('#sent'), 'The list is cleared.', () => {
    if (of !== history) return; // The list is another user's by now.
    restoreKept();
    for (const message of cleared) message.isDropped = false;
    const added = messages.filter(message => !before.includes(message));
    messages = [...added, ...before];
    list.replaceChildren(...messages.map(({ view }) => view.element));
    messages.forEach(({ view }) => view.update());
    refresh();
  });
}

/** Removes all messages from the page; they stay in the browser's storage. */
export function forget() {
  close();
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
  if (!history) return; // Without a log-in, the page has only the message that was looked up.
  history.save(messages);
  const warning = history.warning(messages.length, 'messages');
  $('#kept').hidden = !warning;
  set($('#kept'), warning);
}
