// The header of all pages: links to the other pages, the user, and how much of the user's limits is used.

import { askQuotas, logOut, words } from './api.js';
import { $, bytes, count, set } from './dom.js';
import { tell } from './news.js';

const PAGES = { '/': 'Files', '/messages': 'Messages', '/tables': 'Tables', '/records': 'Access log', '/operate': 'Operate', '/docs': 'API' };
/** Seconds between two looks at the quotas. */
const PERIOD = 5;

const header = $('body > header');
header.innerHTML = `
  <a class="brand" href="/">
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <path class="ticket" d="M5 6h22a2 2 0 0 1 2 2v5a3 3 0 0 0 0 6v5a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-5a3 3 0 0 0 0-6V8a2 2 0 0 1 2-2z"/>
      <path class="tear" d="M12 8v17"/>
    </svg>
    Coatcheck
  </a>
  <nav aria-label="Site"></nav>
  <div id="account" hidden>
    <span id="who">Logged in as <b><bdi id="name"></bdi></b></span>
    <span id="quotas" hidden></span>
    <button type="button" id="log-out">Log out</button>
    <a id="to-log-in" href="/messages">Log in</a>
  </div>`;
for (const [path, name] of Object.entries(PAGES)) {
  const link = document.createElement('a');
  [link.href, link.textContent] = [path, name];
  if (path === location.pathname) link.ariaCurrent = 'page';
  $('nav', header).append(link);
}

let user = null;
let clock = null;
/** The page's reaction to a log-out. */
let leave = null;

/** Shows the user, null if none is logged in; calls `afterLogOut()` after they have logged out here. */
export function showUser(found, afterLogOut) {
  [user, leave] = [found, afterLogOut];
  const isHere = user !== null;
  for (const id of ['#who', '#log-out']) $(id).hidden = !isHere;
  $('#to-log-in').hidden = isHere || location.pathname === '/messages';
  $('#account').hidden = !isHere && $('#to-log-in').hidden;
  $('#quotas').hidden = true;
  set($('#name'), user?.username ?? '');
  clearInterval(clock);
  if (!isHere) return;
  showQuotas();
  clock = setInterval(showQuotas, 1000 * PERIOD);
}

async function showQuotas() {
  if (document.hidden) return;
  const of = user;
  try {
    const { pending, max_pending: tasks, bytes: held, max_bytes: size, uploads_per_minute: rate } = await askQuotas();
    if (of !== user) return;
    const quotas = [
      tasks !== null && `${count(pending)} of ${count(tasks)} tasks pending`,
      size !== null && `${bytes(held)} of ${bytes(size)} in them`,
      rate !== null && `up to ${count(rate)} a minute`,
    ].filter(Boolean);
    set($('#quotas'), quotas.join(' · '));
    $('#quotas').hidden = !quotas.length;
    if (!quotas.length) clearInterval(clock); // They are the server's settings: none will come.
  } catch { /* The next interval asks again. */ }
}

$('#log-out').addEventListener('click', async () => {
  try {
    await logOut();
  } catch (error) {
    return tell(`You are still logged in: ${words(error)}`);
  }
  const after = leave;
  showUser(null);
  after();
});
