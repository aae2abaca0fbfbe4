// Users with their rights and sessions, and the admin's own API keys.

import { words } from '../api.js';
import { $, blamed, copy, set } from '../dom.js';
import { tell } from '../news.js';
import { oneLine } from '../text.js';
import { endSessions, listKeys, listUsers, makeKey, revokeKey, setDisabled, setRight } from './calls.js';
import { follow, keep } from './live.js';
import { act, isSure, link, may, showDone, showRows } from './page.js';
import { showTime } from './times.js';

const PAGE = 100;
const RIGHTS = ['paid', 'viewer', 'operator', 'admin'];

let users = [];

/** Shows the page of users that the parameters name, until the signal is aborted. */
export function show(signal, parameters) {
  follow({});
  $('#own-keys').hidden = $('#rights-note').hidden = !may.manage;
  if (!may.manage) return set($('#users-words'), 'Only admins see and change users: log in as one.');
  set($('#users-words'), '');
  const after = parameters.get('after');
  keep(signal, 10, async () => {
    const page = await listUsers({ limit: PAGE, ...(after && { after }) });
    users = page.users;
    link($('#users-first'), after && '#users');
    link($('#users-next'), page.next && `#users?after=${page.next}`);
    render();
    await showKeys();
  });
}

function render() {
  showRows($('#user-list'), '#user-row', users, ({ id }) => id, (row, user) => {
    const { username, rights, created, disabled } = user;
    const name = oneLine(username);
    row.dataset.state = disabled ? 'failed' : 'succeeded';
    set($('th bdi', row), name);
    showTime($('time', row), created);
    showRights($('.rights', row), user, name);
    set($('.state', row), disabled ? 'disabled' : 'may log in');
    const [end, disable] = [$('.end', row), $('.disable', row)];
    end.ariaLabel = `End sessions of ${name}`;
    end.onclick = () => logOut(end, user, name);
    set(disable, disabled ? 'Enable' : 'Disable …');
    disable.ariaLabel = `${disabled ? 'Enable' : 'Disable'} ${name}`;
    disable.onclick = () => able(disable, user, name);
    row.dataset.rights = rights.join(' ');
  });
}

function showRights(cell, user, name) {
  if (!cell.childElementCount) {
    cell.append(...RIGHTS.map(right => {
      const [label, box] = [document.createElement('label'), document.createElement('input')];
      [box.type, box.value] = ['checkbox', right];
      label.append(box, right);
      return label;
    }));
  }
  for (const box of cell.querySelectorAll('input')) {
    if (box.dataset.busy === undefined) box.checked = user.rights.includes(box.value);
    box.ariaLabel = `${box.value}, for ${name}`;
    box.onchange = () => grant(box, user, name);
  }
}

/** Takes a changed user over. */
const changed = user => { users = users.map(one => (one.id === user.id ? { ...one, ...user } : one)); };

async function grant(box, { id }, name) {
  const [right, isGranted] = [box.value, box.checked];
  const text = isGranted
    ? 'Admins manage users and their rights, and change all tasks.'
    : 'The user manages no users any more. If it is you, this view closes.';
  const isDone = (right !== 'admin' || await isSure({ title: `${isGranted ? 'Grant' : 'Revoke'} admin: ${name}?`, text, yes: isGranted ? 'Grant' : 'Revoke' }))
    && await act(box, async () => changed(await setRight(id, right, isGranted)));
  render();
  if (isDone) showDone(`${name} ${isGranted ? 'has' : 'no longer has'} the right ${right}.`);
}

async function logOut(button, { id }, name) {
  if (!await isSure({ title: `End the sessions of ${name}?`, text: 'Every device of the user has to log in again. API keys stay.', yes: 'End them' })) return;
  if (await act(button, () => endSessions(id))) showDone(`The sessions of ${name} are ended.`);
}

async function able(button, { id, disabled }, name) {
  const text = 'The user can’t log in, and tokens and API keys are rejected at once. Tasks go on, but nothing is paid for them.';
  if (!disabled && !await isSure({ title: `Disable ${name}?`, text, yes: 'Disable', harm: true })) return;
  const isDone = await act(button, async () => changed(await setDisabled(id, !disabled)));
  render();
  if (isDone) showDone(disabled ? `${name} may log in again.` : `${name} is disabled.`);
}

// ---- Keys ----

async function showKeys() {
  const keys = await listKeys();
  showRows($('#key-list'), '#key-row', keys, ({ id }) => id, (row, { id, name, created }) => {
    set($('th bdi', row), oneLine(name));
    showTime($('time', row), created);
    const button = $('button', row);
    button.ariaLabel = `Revoke the key ${oneLine(name)}`;
    button.onclick = async () => {
      const text = 'Programs that use it are rejected at once. This can’t be undone.';
      if (!await isSure({ title: `Revoke ${oneLine(name)}?`, text, yes: 'Revoke', harm: true })) return;
      if (await act(button, async () => { await revokeKey(id); await showKeys(); })) showDone(`The key ${oneLine(name)} is revoked.`);
    };
  });
}

async function make(event) {
  event.preventDefault();
  const error = $('#key-error');
  set(error, '');
  try {
    const { key } = await makeKey($('#key-name').value.trim());
    set($('#made-key code'), key);
    $('#made-key').hidden = false;
    $('#key-name').value = '';
    tell('The key is made, and shown this once.');
    await showKeys();
  } catch (refusal) {
    set(error, refusal.status ? blamed(refusal.message).words : `Not made: ${words(refusal)}`);
  }
}

/** Sets the view up, once. */
export function begin() {
  $('#new-key').addEventListener('submit', make);
  $('#made-key .copy').onclick = ({ target }) => copy($('#made-key code'), target);
}
