// The page for messages: what a person can do on it once logged in.

import { Refusal, newKey, pause, postMessage, untilReachable } from './api.js';
import { $, blamed, set } from './dom.js';
import { tell } from './news.js';
import { add, clear, forget, lookUp, restore, update } from './sent.js';
import { begin, expire } from './session.js';
import { watch } from './standing.js';

const TRIES = 5;

const text = $('#text');
const provider = $('#provider');
const paid = $('[value="paid"]', provider);

let watching = new AbortController();
let last = null;

function enter(user) {
  watching.abort();
  watching = new AbortController();
  watch(watching.signal, update);
  // A typed text is kept for the same user who had to log in again, and cleared for others.
  if (last && last !== user.id) text.value = '';
  if (last !== user.id) restore(user);
  last = user.id;
  offer(user);
  lookUp();
}

/** Offers what the user may choose, and says how to be offered more. */
function offer({ username, rights }) {
  const mayPay = rights.includes('paid');
  if (mayPay) provider.append(paid);
  else paid.remove();
  set($('#provider-hint'), mayPay
    ? 'Automatic: the free provider, or the paid one while the free one is blocked.'
    : `Without the right “paid”, messages wait while the free provider is blocked. An admin grants it with “coatcheck user grant ${username} paid”; log in again afterwards.`);
}

/** Sends the message until the server has accepted it or rejects it for good. */
async function deliver(message) {
  const key = newKey();
  for (let tries = 1; ; tries += 1) {
    try {
      return await postMessage(message, key);
    } catch (error) {
      if (!(error instanceof Refusal)) await untilReachable();
      else if (!error.mayPass || tries === TRIES) throw error;
      else await pause(error.seconds ?? tries);
    }
  }
}

let isBusy = false;

async function send(event) {
  event.preventDefault();
  if (isBusy) return;
  isBusy = true;
  complain();
  const button = $('#compose [type=submit]');
  button.textContent = 'Sending …';
  try {
    add(await deliver({ text: text.value, provider: provider.value }));
    text.value = '';
    tell('The message is sent. Its ticket is on top of the list.');
  } catch (error) {
    if (error.status === 401) expire();
    else complain(error);
  }
  button.textContent = 'Send';
  isBusy = false;
}

function complain(error) {
  const blame = error ? blamed(error.message) : {};
  text.ariaInvalid = String(blame.name === 'text');
  const isStale = error?.code === 'paid-not-allowed';
  set($('#compose-error'), isStale ? 'The right “paid” applies from your next log-in on. Log out, then log in again.' : blame.words ?? '');
}

for (const name of ['away', 'back']) addEventListener(name, () => { $('#away').hidden = name === 'back'; });
$('#compose').addEventListener('submit', send);
$('#clear').addEventListener('click', clear);
addEventListener('popstate', lookUp);

// Without a required log-in, the message is shown at once.
lookUp();
begin({
  enter,
  leave: () => watching.abort(),
  forget: () => {
    text.value = '';
    last = null;
    forget();
  },
});
