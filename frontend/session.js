// Who is at the page: logging in and out. The token is in a cookie that no script sees, so the server is asked who it is.

import { Refusal, logIn, logOut, pause, register, untilReachable, whoAmI, words } from './api.js';
import { $, blamed, set } from './dom.js';
import { tell } from './news.js';

const ENDED = 'Your log-in has ended. Log in again, and go on where you were.';

const form = $('#log-in');
const [name, password] = [$('#username'), $('#password')];
const problem = $('#log-in-error');

let user = null;
/** What the page does when somebody has come (`enter`), nobody is there any more (`leave`), or he went for good (`forget`). */
let page = null;
/** Those who wait for the next log-in. */
let waiting = [];

/** Shows what is for who is here. */
export async function begin(given) {
  page = given;
  form.addEventListener('submit', submit);
  $('#log-out').addEventListener('click', end);
  // In another tab somebody else may have come meanwhile, or the log-in have ended.
  document.addEventListener('visibilitychange', () => { if (!document.hidden) look(); });
  await look();
}

/** Asks until the server has said who is here. */
async function look() {
  for (;;) {
    try {
      return enter(await whoAmI());
    } catch (error) {
      if (error.status === 401) return user ? expire() : leave();
      if (error instanceof Refusal) await pause(error.seconds ?? 2);
      else await untilReachable();
    }
  }
}

/** Goes back to the log-in, for the server doesn't take the old one any more. Comes back when somebody has logged in. */
export function expire() {
  const entered = new Promise(done => waiting.push(done));
  if (!user) return entered;
  name.value = user.username;
  leave(ENDED);
  tell(ENDED);
  password.focus();
  return entered;
}

function enter(found) {
  if (user?.id === found.id) return;
  user = found;
  set($('#name'), user.username);
  $('#guest').hidden = true;
  $('#user').hidden = false;
  password.value = '';
  page.enter(user);
  waiting.splice(0).forEach(done => done());
}

function leave(why = '') {
  user = null;
  set($('#why'), why);
  $('#why').hidden = !why;
  $('#user').hidden = true;
  $('#guest').hidden = false;
  page.leave();
}

let isBusy = false;

async function submit(event) {
  event.preventDefault();
  if (isBusy) return;
  isBusy = true;
  complain();
  const isNew = event.submitter?.id === 'register';
  try {
    if (isNew) await register(name.value, password.value);
    await logIn(name.value, password.value);
    enter(await whoAmI());
    tell(isNew ? 'You are registered and logged in.' : 'You are logged in.');
    $('#text').focus();
  } catch (error) {
    complain(error);
  }
  isBusy = false;
}

function complain(error) {
  const blame = error instanceof Refusal ? blamed(error.message) : {};
  for (const field of [name, password]) field.ariaInvalid = String(field.id === blame.name);
  set(problem, error ? sentence(error, blame) : '');
}

function sentence(error, blame) {
  if (error.code !== 'too-many-requests') return blame.words ?? `Not now: ${words(error)}`;
  const minutes = Math.ceil((error.seconds ?? 60) / 60);
  return `There were too many wrong passwords. Try again in ${minutes === 1 ? 'a minute' : `${minutes} minutes`}.`;
}

async function end() {
  try {
    await logOut();
  } catch (error) {
    return tell(`You are still logged in: ${words(error)}`);
  }
  name.value = '';
  page.forget();
  leave();
  tell('You are logged out.');
  name.focus();
}
