// The log-in of pages that work without one: shown if the server requires it (AUTH=required), with the form of the page
// for messages, and removed after a log-in. Requests are then repeated, so that no started work is lost.

import { Refusal, asksWhoComes, onStranger, pause, untilReachable, whoAmI } from './api.js';
import { $, set } from './dom.js';
import { showUser } from './header.js';
import { offerLogIn } from './log-in.js';
import { tell } from './news.js';

const WHY = 'This server requires a log-in. Log in, and the page continues where it stopped.';

let entering = null;
let isOwner;
let isKnown;

/** Whether the server requires a log-in. */
let isRequired = false;
/** The user, once `known` is resolved; null for an anonymous visitor. */
export let visitor = null;
export const known = new Promise(done => { isKnown = done; });

/** Resolves to the id of the user whose lists are shown, or to null if the server requires no log-in and all users share them. */
export const owner = new Promise(known => { isOwner = known; });
/** The first user of this page. */
let first = null;

const askIn = (why = WHY) => entering ??= enter(why).finally(() => { entering = null; });

onStranger(() => askIn());
$('#to-log-in').addEventListener('click', event => {
  event.preventDefault();
  // The page can be used while the form is open.
  if (entering) $('#username').focus();
  else askIn('');
});
look();

/** Finds out which user is logged in, and whether the server requires a log-in. */
// Before a file is chosen: a server that rejects an upload stops reading, which a browser may report as a broken connection.
async function look() {
  let asks;
  try {
    asks = await asksWhoComes();
    isRequired = asks;
    if (!asks) isOwner(null);
    arrive(await whoAmI());
  } catch (error) {
    if (!(error instanceof Refusal)) return untilReachable().then(look);
    showUser(null);
    if (asks) askIn();
    else isKnown();
  }
}

function arrive(user) {
  // The page shows another user's work.
  if (first && first !== user.id) return location.reload();
  first = user.id;
  visitor = user;
  isOwner(user.id); // Unless all users share the lists.
  showUser(user, () => location.reload());
  isKnown();
}

async function enter(why) {
  showUser(null);
  while (!await isIn()) await new Promise(entered => showForm(entered, why).catch(() => untilReachable().then(entered)));
}

/** Returns whether a user is logged in already, perhaps in another tab. */
async function isIn() {
  for (;;) {
    try {
      arrive(await whoAmI());
      return true;
    } catch (error) {
      if (error.status === 401) return false;
      if (error instanceof Refusal) await pause(error.seconds ?? 2);
      else await untilReachable();
    }
  }
}

async function showForm(entered, why) {
  const page = await (await fetch('/messages')).text();
  const guest = document.adoptNode($('#guest', new DOMParser().parseFromString(page, 'text/html')));
  set($('#why', guest), why);
  guest.hidden = false;
  $('#why', guest).hidden = !why;
  guest.classList.toggle('required', isRequired);
  $('#away').after(guest);
  offerLogIn($('form', guest), user => {
    arrive(user);
    guest.remove();
    // The form had the focus.
    $('main :is(input, select)').focus();
    entered();
    dispatchEvent(new Event('arrived'));
  });
  if (why) tell(why);
  $('#username', guest).focus();
}
