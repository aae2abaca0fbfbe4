// The log-in of a page that needs none of its own: shown where the server asks who comes (AUTH=required), with the form of the page
// for messages, and gone when somebody has logged in. What was asked is then asked again, so nothing that was begun is lost.

import { Refusal, knock, onStranger, pause, untilReachable, whoAmI } from './api.js';
import { $, set } from './dom.js';
import { offerLogIn } from './log-in.js';
import { tell } from './news.js';

const WHY = 'This server asks who comes. Log in, and what you have begun goes on.';

let entering = null;

onStranger(() => entering ??= enter().finally(() => { entering = null; }));
// Before anything is chosen, for a server that has refused an upload reads no further, and a browser may tell that as a broken connection.
knock().catch(() => { /* What comes next tells it. */ });

async function enter() {
  while (!await isIn()) await new Promise(entered => showForm(entered).catch(() => untilReachable().then(entered)));
}

/** Whether somebody has logged in already, in another tab perhaps. */
async function isIn() {
  for (;;) {
    try {
      return await whoAmI();
    } catch (error) {
      if (error.status === 401) return false;
      if (error instanceof Refusal) await pause(error.seconds ?? 2);
      else await untilReachable();
    }
  }
}

async function showForm(entered) {
  const page = await (await fetch('/messages')).text();
  const guest = document.adoptNode($('#guest', new DOMParser().parseFromString(page, 'text/html')));
  set($('#why', guest), WHY);
  for (const part of [guest, $('#why', guest)]) part.hidden = false;
  $('#away').after(guest);
  offerLogIn($('form', guest), () => {
    guest.remove();
    // The form had the focus.
    $('main :is(input, select)').focus();
    entered();
  });
  tell(WHY);
  $('#username', guest).focus();
}
