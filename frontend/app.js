// The page for files: its controls and the overall progress. No framework, no build step; the Content-Security-Policy
// allows only scripts in files of this server.

import { List, writeList } from './digests.js';
import { $, count, counted, set } from './dom.js';
import './found.js';
import { owner } from './gate.js';
import { History } from './history.js';
import { hasFailed, showTickets } from './list.js';
import { report, tell } from './news.js';
import { overall, showOverall } from './overall.js';
import { oneLine } from './text.js';
import { batch, clear, onChange, restore, take, tickets } from './tickets.js';
import { offerUndo } from './undo.js';

// ---- Handing in ----

function choose({ target }) {
  take([...target.files].map(file => ({ file, name: file.webkitRelativePath || file.name })));
  target.value = '';
}

/** Returns the dropped files, including those in folders. */
async function filesOf(entry, folder = '') {
  const name = folder + entry.name;
  if (entry.isFile) return [{ name, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) }];
  const [reader, inside] = [entry.createReader(), []];
  for (let some; some?.length !== 0; inside.push(...some)) { // A hundred at a time; an empty list at the end.
    some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  }
  const files = [];
  for (const one of inside) files.push(...await filesOf(one, `${name}/`));
  return files;
}

async function drop({ dataTransfer }) {
  // All at once: the browser removes them when this function first waits.
  const dropped = [...dataTransfer.items].map(item => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  const files = [];
  for (const { entry, file } of dropped) {
    try {
      if (entry) files.push(...await filesOf(entry));
      else if (file) files.push({ file, name: file.name });
    } catch {
      const words = `${oneLine(entry.name)} can’t be read.`;
      set($('#drop-error'), words);
      tell(words);
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

// ---- The list ----

const canRetry = ticket => ticket.canRetry && hasFailed(ticket);

/** Shows each control only while it is of use. */
function refresh() {
  $('#tickets').hidden = !tickets.length;
  showOverall();
  const warning = history.warning(tickets.length, 'tickets');
  $('#kept').hidden = !warning;
  set($('#kept'), warning);
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
  const { md5, matches, status, error } = ticket;
  const words = matches === false ? `differs from the expected digest. Its MD5 is ${md5}.`
    : md5 ? `is done. Its MD5 is ${md5}.` : `${status}: ${error}`;
  report(`${oneLine(ticket.name)} ${words}`, () => (batch.length > 1 ? overall().words : `${count(tickets.length)} tickets are on the list.`));
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

/** Sets the expected digest of each ticket that the list names. */
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
    counted(result.matches, 'ticket matches', 'tickets match'),
    result.differs && counted(result.differs, 'differs', 'differ'),
    result.waits && `${count(result.waits)} without a digest yet`,
    list.size > found.size && `${count(list.size - found.size)} of the list without a ticket`,
    list.unread && `${counted(list.unread, 'line is not', 'lines are not')} of md5sum`,
  ].filter(Boolean).join(' · ');
  const isWrong = text && !list.size;
  const said = isWrong ? 'Expected lines of md5sum: a digest, two spaces and a file name each.' : text && words;
  if ($('#list-result').textContent !== said) $('#list-result').textContent = said;
  $('#list-result').classList.toggle('error', Boolean(isWrong || result.differs));
}

// ---- The page ----

const history = new History('coatcheck-tickets', {
  most: 5000,
  needed: ['id', 'name', 'status'],
  more: ['size', 'created', 'md5', 'error', 'expected'],
});
let isKept = true;

function keep() {
  isKept = true;
  history.save(tickets);
}

function cancelAll() {
  const pending = batch.filter(({ hasEnded }) => !hasEnded);
  if (confirm(`Cancel ${count(pending.length)} files? This can’t be undone.`)) pending.forEach(ticket => ticket.cancel());
}

onChange(ticket => {
  inform(ticket);
  if (isKept) setTimeout(keep, 1000);
  isKept = false;
});
addEventListener('pagehide', () => { if (!isKept) keep(); });
addEventListener('beforeunload', event => {
  if (tickets.some(({ id, hasEnded }) => !id && !hasEnded)) event.preventDefault(); // Their files would not be sent.
});
for (const name of ['away', 'back']) addEventListener(name, () => { $('#away').hidden = name === 'back'; });

$('#origin').textContent = location.origin;
$('#files').addEventListener('change', choose);
$('#folder').addEventListener('change', choose);
$('#cancel-all').addEventListener('click', cancelAll);
$('#retry-all').addEventListener('click', () => tickets.filter(canRetry).forEach(ticket => ticket.retry()));
$('#save').addEventListener('click', save);
$('#clear').addEventListener('click', () => {
  const undos = [history.clear(), clear()];
  offerUndo($('#tickets'), 'The list is cleared.', () => undos.forEach(undo => undo()));
});
$('#list-text').addEventListener('input', takeList);
$('#list-file').addEventListener('change', ({ target }) => readList(target.files[0]));

showTickets(refresh);
restore(history.of(await owner).load());
