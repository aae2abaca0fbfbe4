// Looks up tickets and digests of files that any user has handed in anywhere. They are shown apart from the list, because they
// may be another user's. The page's address names the look-up.

import { Refusal, find, findByDigest } from './api.js';
import { Card } from './card.js';
import { readLine } from './digests.js';
import { $, count, set } from './dom.js';
import { tell } from './news.js';
import { addressOf } from './ticket.js';
import { drop, onChange, ticketOf } from './tickets.js';

const ID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/i;

const section = $('#found');
const field = $('#id');
/** The cards of what was found, by their tickets. */
let cards = new Map();

function complain(words) {
  set($('#lookup-error'), words);
  field.ariaInvalid = String(words !== '');
}

/** Shows the tickets that the page's address names, if it names any. */
async function look() {
  const { search } = location;
  const asked = new URLSearchParams(search);
  const [id, digest] = [asked.get('id'), asked.get('digest')];
  close();
  complain('');
  if (!id && !digest) return;
  try {
    const { tasks, next } = id ? { tasks: [await find(encodeURIComponent(id))] } : await findByDigest(encodeURIComponent(digest));
    // The address has changed meanwhile.
    if (location.search !== search) return;
    if (!tasks.length) return complain('No file with this digest has been handed in.');
    if (tasks[0].kind !== 'md5') return leave(tasks[0]);
    show(tasks, next);
  } catch (error) {
    complain(error instanceof Refusal ? error.message : 'The server can’t be reached. Check the connection and try again.');
  }
}

/** Shows a task of another kind on its own page. */
function leave(task) {
  const address = addressOf(task);
  if (address) location.replace(address);
  else complain(`It is a task of the kind “${task.kind}”, and it is ${task.status}.`);
}

function show(tasks, next) {
  cards = new Map(tasks.map(ticketOf).map(ticket => [ticket, new Card(ticket)]));
  $('#found-list').replaceChildren(...[...cards.values()].map(({ element }) => element));
  section.hidden = false;
  const words = tasks.length === 1 ? 'One file was found.' : `${count(tasks.length)} files were found.`;
  const told = next ? `${words} There are more: these are the newest.` : words;
  set($('#found-note'), next ? told : '');
  $('#found-title').focus();
  tell(told);
}

function close() {
  section.hidden = true;
  $('#found-list').replaceChildren();
  for (const ticket of cards.keys()) drop(ticket);
  cards.clear();
}

function go(address) {
  history.pushState(null, '', address);
  return look();
}

onChange(ticket => cards.get(ticket)?.update());
addEventListener('popstate', look);
$('#close-found').addEventListener('click', () => {
  go('/');
  field.focus(); // The button is gone.
});
$('#lookup').addEventListener('submit', async event => {
  event.preventDefault();
  const id = field.value.match(ID)?.[0].toLowerCase();
  const digest = readLine(field.value)?.digest;
  if (!id && !digest) {
    return complain('Expected an id, such as 0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d, or a digest of 32 characters.');
  }
  await go(`/?${id ? `id=${id}` : `digest=${digest}`}`);
  if (!section.hidden) field.value = '';
});
// A ticket of the list is shown without loading a new page, which would stop uploads in progress.
document.addEventListener('click', event => {
  const link = event.target.closest('a[href^="/?id="]');
  if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(link.getAttribute('href'));
});

look();
