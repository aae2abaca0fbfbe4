// The page's user: logging in and out.

import { Refusal, pause, untilReachable, whoAmI } from './api.js';
import { $, set } from './dom.js';
import { showUser } from './header.js';
import { offerLogIn } from './log-in.js';
import { tell } from './news.js';

const ENDED = 'Your log-in has ended. Log in again, and go on where you were.';

const form = $('#log-in');
const [name, password] = [$('#username'), $('#password')];

let user = null;
/** The page's reactions to a log-in (`enter`), to an ended log-in (`leave`), and to a log-out (`forget`). */
let page = null;
/** Callers that wait for the next log-in. */
let waiting = [];

/** Shows the parts of the page for the user, or for an anonymous visitor. */
export async function begin(given) {
  page = given;
  offerLogIn(form, found => {
    enter(found);
    $('#text').focus();
  });
  // In another tab another user may have logged in meanwhile, or the log-in may have ended.
  document.addEventListener('visibilitychange', () => { if (!document.hidden) look(); });
  await look();
}

/** Asks until the server has said which user is logged in. */
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

/** Shows the log-in form, because the server rejects the old log-in. Resolves after the next log-in. */
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
  showUser(user, end);
  $('#guest').hidden = true;
  $('#user').hidden = false;
  page.enter(user);
  waiting.splice(0).forEach(done => done());
}

function leave(why = '') {
  user = null;
  showUser(null);
  set($('#why'), why);
  $('#why').hidden = !why;
  $('#user').hidden = true;
  $('#guest').hidden = false;
  page.leave();
}

/** Reacts to a log-out. */
function end() {
  name.value = '';
  page.forget();
  leave();
  tell('You are logged out.');
  name.focus();
}
