// The log-in of a page that needs none of its own: shown where the server asks who comes (AUTH=required), with the form of the page
// for messages, and gone when somebody has logged in. What was asked is then asked again, so nothing that was begun is lost.

import { Refusal, asksWhoComes, onStranger, pause, untilReachable, whoAmI } from './api.js';
import { $, set } from './dom.js';
import { showUser } from './header.js';
import { offerLogIn } from './log-in.js';
import { tell } from './news.js';

const WHY = 'This server asks who comes. Log in, and what you have begun goes on.';

let entering = null;
let isOwner;

/** Resolves to the id of the user whose lists are shown, or to null where they are whoever's: where the server asks nobody who comes. */
export const owner = new Promise(known => { isOwner = known; });
/** The user who was here first. */
let first = null;

const askIn = () => entering ??= enter().finally(() => { entering = null; });

onStranger(askIn);
look();

/** Looks who is here, and whether the server minds. */
// Before anything is chosen, for a server that has refused an upload reads no further, and a browser may tell that as a broken connection.
async function look() {
  let asks;
  try {
    asks = await asksWhoComes();
    if (!asks) isOwner(null);
    arrive(await whoAmI());
  } catch (error) {
    if (!(error instanceof Refusal)) return untilReachable().then(look);
    showUser(null);
    if (asks) askIn();
  }
}

function arrive(user) {
  // What is on the page is another's.
  if (first && first !== user.id) return location.reload();
  first = user.id;
  isOwner(user.id); // Unless it is whoever's.
  showUser(user, () => location.reload());
}

async function enter() {
  showUser(null);
  while (!await isIn()) await new Promise(entered => showForm(entered).catch(() => untilReachable().then(entered)));
}

/** Whether somebody has logged in already, in another tab perhaps. */
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

async function showForm(entered) {
  const page = await (await fetch('/messages')).text();
  const guest = document.adoptNode($('#guest', new DOMParser().parseFromString(page, 'text/html')));
  set($('#why', guest), WHY);
  for (const part of [guest, $('#why', guest)]) part.hidden = false;
  $('#away').after(guest);
  offerLogIn($('form', guest), user => {
    arrive(user);
    guest.remove();
    // The form had the focus.
    $('main :is(input, select)').focus();
    entered();
  });
  tell(WHY);
  $('#username', guest).focus();
}
