// The page: what a person can do on it, and how far all is. No framework, no build step; the Content-Security-Policy
// allows nothing inline and no one else's.

import { Refusal, findByDigest, findFile } from './api.js';
import { List, readLine, writeList } from './digests.js';
import { $, bytes, count } from './dom.js';
import './gate.js';
import { History } from './history.js';
import { hasFailed, showTickets } from './list.js';
import { report, tell } from './news.js';
import { batch, clear, onChange, restore, show, take, tickets } from './tickets.js';

const ID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/i;

// ---- Handing in ----

function choose({ target }) {
  take([...target.files].map(file => ({ file, name: file.webkitRelativePath || file.name })));
  target.value = '';
}

/** The files of what was dropped, those in folders too. */
async function filesOf(entry, folder = '') {
  const name = folder + entry.name;
  if (entry.isFile) return [{ name, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) }];
  const [reader, inside] = [entry.createReader(), []];
  for (let some; some?.length !== 0; inside.push(...some)) { // A hundred at a time, none at the end.
    some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  }
  const files = [];
  for (const one of inside) files.push(...await filesOf(one, `${name}/`));
  return files;
}

async function drop({ dataTransfer }) {
  // All at once: the browser takes them away when this function first waits.
  const dropped = [...dataTransfer.items].map(item => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  const files = [];
  for (const { entry, file } of dropped) {
    try {
      if (entry) files.push(...await filesOf(entry));
      else if (file) files.push({ file, name: file.name });
    } catch {
      tell($('#drop-error').textContent = `${entry.name} can’t be read.`);
    }
  }
  take(files);
}

for (const name of ['dragover', 'dragleave', 'drop']) {
  addEventListener(name, event => {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault(); // Else the browser would open the file in place of the page.
    $('#drop').classList.toggle('over', name === 'dragover');
    if (name !== 'drop') return;
    $('#drop-error').textContent = '';
    if ($('#list-compare').contains(event.target)) readList(event.dataTransfer.files[0]);
    else drop(event);
  });
}

// ---- Looking up ----

async function lookUp(event) {
  event.preventDefault();
  const field = $('#id');
  const error = words => [$('#lookup-error').textContent, field.ariaInvalid] = [words, String(words !== '')];
  error('');
  const id = field.value.match(ID)?.[0].toLowerCase();
  const digest = readLine(field.value)?.digest;
  if (!id && !digest) {
    return error('That is neither an id, such as 0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d, nor a digest of 32 characters.');
  }
  try {
    const { tasks, next } = id ? { tasks: [await findFile(id)] } : await findByDigest(digest);
    if (!tasks.length) return error('No file with this digest has been handed in.');
    show(tasks);
    field.value = '';
    const found = tasks.length === 1 ? 'The ticket is on top of the list.' : `${count(tasks.length)} tickets are on top of the list.`;
    tell(next ? `${found} There are more: these are the newest.` : found);
  } catch (reason) {
    error(reason instanceof Refusal ? reason.message : 'The server can’t be reached. Check the connection and try again.');
  }
}

// ---- How far all is ----

function overall() {
  const ended = batch.filter(ticket => ticket.hasEnded);
  const failed = batch.filter(hasFailed).length;
  const cancelled = batch.filter(({ status }) => status === 'cancelled').length;
  const size = batch.reduce((sum, ticket) => sum + ticket.size, 0);
  const sent = batch.reduce((sum, ticket) => sum + ticket.size * ticket.sent, 0);
  const words = [
    `${count(ended.length - failed - cancelled)} of ${count(batch.length)} done`,
    failed && `${count(failed)} failed`,
    cancelled && `${count(cancelled)} cancelled`,
    sent < size ? `${bytes(sent)} of ${bytes(size)} sent` : `${bytes(size)} sent`,
  ].filter(Boolean).join(' · ');
  // Sending is one half of the way, and having ended the other.
  const way = ((size ? sent / size : 1) + ended.length / batch.length) / 2;
  return { words, way };
}

const canRetry = ticket => ticket.canRetry && hasFailed(ticket);

/** Shows each control only while it has a use. */
function refresh() {
  $('#tickets').hidden = !tickets.length;
  $('#overall').hidden = batch.length < 2;
  if (batch.length > 1) {
    const { words, way } = overall();
    $('#overall-words').textContent = words;
    $('#overall progress').value = way;
    $('#overall progress').hidden = $('#cancel-all').hidden = batch.every(ticket => ticket.hasEnded);
  }
  $('#retry-all').hidden = tickets.filter(canRetry).length < 2;
  $('#save').hidden = !tickets.some(({ md5 }) => md5);
  $('#list-compare').hidden = $('#save').hidden && !$('#list-text').value;
  $('#clear').hidden = !tickets.some(ticket => ticket.hasEnded);
  if (document.activeElement.hidden) $('#tickets-title').focus();
  compareList();
}

function inform(ticket) {
  if (!ticket || ticket.reported === ticket.status || !ticket.hasEnded) return;
  ticket.reported = ticket.status;
  const words = ticket.md5 ? `is done. Its MD5 is ${ticket.md5}.` : `${ticket.status}: ${ticket.error}`;
  report(`${ticket.name} ${words}`, () => (batch.length > 1 ? overall().words : `${count(tickets.length)} tickets are on the list.`));
}

// ---- A list of digests ----

function save() {
  const lines = writeList(tickets.filter(({ md5 }) => md5));
  const link = document.createElement('a');
  // As text, it would be given the ending .txt.
  link.href = URL.createObjectURL(new Blob([lines], { type: 'application/octet-stream' }));
  link.download = 'MD5SUMS';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

let list = new List('');

async function readList(file) {
  if (!file) return;
  $('#list-text').value = await file.text();
  takeList();
}

function takeList() {
  list = new List($('#list-text').value);
  compareList();
}

/** Gives each ticket that the list names the digest to be compared with. */
function compareList() {
  const text = $('#list-text').value.trim();
  const result = { matches: 0, differs: 0, waits: 0 };
  const found = new Set();
  for (const ticket of list.size ? tickets : []) {
    const { name, digest } = list.find(ticket.name);
    if (!digest) continue;
    found.add(name);
    if (ticket.listed !== digest) ticket.set({ listed: digest, expected: digest });
    result[{ true: 'matches', false: 'differs' }[ticket.matches] ?? 'waits'] += 1;
  }
  const words = [
    `${count(result.matches)} ${result.matches === 1 ? 'ticket matches' : 'tickets match'}`,
    result.differs && `${count(result.differs)} ${result.differs === 1 ? 'differs' : 'differ'}`,
    result.waits && `${count(result.waits)} without a digest yet`,
    list.size > found.size && `${count(list.size - found.size)} of the list without a ticket`,
    list.unread && `${count(list.unread)} ${list.unread === 1 ? 'line is no line' : 'lines are no lines'} of md5sum`,
  ].filter(Boolean).join(' · ');
  const isWrong = text && !list.size;
  const said = isWrong ? 'That is no list of md5sum. A line of one is a digest, two blanks and a file name.' : text && words;
  if ($('#list-result').textContent !== said) $('#list-result').textContent = said;
  $('#list-result').classList.toggle('error', Boolean(isWrong || result.differs));
}

// ---- The page ----

const history = new History('coatcheck-tickets', { needed: ['id', 'name', 'status'], more: ['size', 'created', 'md5', 'error', 'expected'] });
let isKept = true;

function keep() {
  isKept = true;
  history.save(tickets);
}

onChange(ticket => {
  inform(ticket);
  if (isKept) setTimeout(keep, 1000);
  isKept = false;
});
addEventListener('pagehide', keep);
addEventListener('beforeunload', event => {
  if (tickets.some(({ id, hasEnded }) => !id && !hasEnded)) event.preventDefault(); // Their files would not be sent.
});
for (const name of ['away', 'back']) addEventListener(name, () => { $('#away').hidden = name === 'back'; });

$('#origin').textContent = location.origin;
$('#files').addEventListener('change', choose);
$('#folder').addEventListener('change', choose);
$('#lookup').addEventListener('submit', lookUp);
$('#cancel-all').addEventListener('click', () => [...batch].forEach(ticket => ticket.cancel()));
$('#retry-all').addEventListener('click', () => tickets.filter(canRetry).forEach(ticket => ticket.retry()));
$('#save').addEventListener('click', save);
$('#clear').addEventListener('click', () => {
  history.clear();
  clear();
  tell('The list is cleared.');
});
$('#list-text').addEventListener('input', takeList);
$('#list-file').addEventListener('change', ({ target }) => readList(target.files[0]));

showTickets(refresh);
restore(history.load());
