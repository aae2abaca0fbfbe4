// The page for tables. Its address names the table whose rows are shown.

import { Refusal, find, findTable, newKey, retryTable, words } from './api.js';
import { $, set } from './dom.js';
import { owner } from './gate.js';
import { History } from './history.js';
import { report, tell } from './news.js';
import { close, open, refresh as refreshRows, shown } from './rows.js';
import { Table, progress } from './table.js';
import { oneLine } from './text.js';
import { addressOf } from './ticket.js';
import { offerUndo } from './undo.js';

const kept = new History('coatcheck-tables', {
  needed: ['id', 'name', 'status'],
  more: ['size', 'created', 'rows', 'done', 'failedRows', 'error'],
});

const list = $('#list');

/** Newest first. */
let tables = [];
/** The table that was looked up and is not on the list. */
let found = null;

const newTable = fields => new Table(fields, { onChange: changed, onOpen: show, onAgain: again });

function choose({ target }) {
  const chosen = [...target.files].map(file => newTable({ file, name: file.name, size: file.size }));
  target.value = '';
  tables.unshift(...chosen);
  list.prepend(...chosen.map(({ view }) => view.element));
  chosen.forEach(table => table.begin());
}

function changed(table) {
  if (table.hasEnded && table.reported !== table.status) {
    table.reported = table.status;
    const words = table.status === 'succeeded' ? `is done: ${progress(table)}.` : `${table.status}: ${table.error}`;
    report(`${oneLine(table.name)} ${words}`, () => `${tables.filter(({ hasEnded }) => hasEnded).length} tables have ended.`);
  }
  if (table === shown()) refreshRows();
  refresh();
}

/** Shows each control only while it is of use. */
function refresh() {
  $('#tickets').hidden = !tables.length;
  $('#clear').hidden = !tables.some(({ hasEnded }) => hasEnded);
  kept.save(tables);
  const warning = kept.warning(tables.length, 'tables');
  $('#kept').hidden = !warning;
  set($('#kept'), warning);
}

function show(table) {
  history.replaceState(null, '', `/tables?id=${table.id}`);
  open(table);
  $('#rows-title').focus();
}

/** Sends the failed rows again. Repeated, it is the same task. */
async function again(table) {
  table.againKey ??= newKey();
  try {
    const task = await retryTable(table.id, table.againKey);
    const { view } = tables.find(({ id }) => id === task.id) ?? put(tableOf(task));
    $('h3', view.element).focus();
    tell(`The rows of ${oneLine(table.name)} that failed are sent again. Their ticket is on top of the list.`);
  } catch (error) {
    table.set({ note: `The rows can’t be sent again now: ${words(error)}` });
  }
}

/** Follows the table of a task. */
function tableOf(task) {
  const table = newTable({ sent: 1, reported: task.finished ? task.status : null });
  table.update(task);
  table.follow();
  return table;
}

/** Puts a table on top of the list. */
function put(table) {
  tables.unshift(table);
  list.prepend(table.view.element);
  refresh();
  return table;
}

function clear() {
  if (shown()?.hasEnded && tables.includes(shown())) {
    close();
    history.replaceState(null, '', '/tables');
  }
  const before = tables;
  const restoreKept = kept.clear();
  tables = before.filter(({ hasEnded }) => !hasEnded);
  list.replaceChildren(...tables.map(({ view }) => view.element));
  refresh();
  offerUndo($('#tickets'), 'The list is cleared.', () => {
    restoreKept();
    tables = [...tables.filter(table => !before.includes(table)), ...before];
    list.replaceChildren(...tables.map(({ view }) => view.element));
    refresh();
  });
}

/** Shows tables of an earlier visit. */
function restore() {
  const restored = kept.load().map(fields => newTable({ ...fields, sent: 1, reported: fields.status }));
  // Tables chosen meanwhile are newer.
  tables.push(...restored);
  for (const table of restored) {
    table.view.update();
    list.append(table.view.element);
    table.follow();
  }
  refresh();
}

/** Shows the table that the address names. It may be another user's, so it is not added to the list. */
async function look() {
  const id = new URLSearchParams(location.search).get('id');
  if (!id) return;
  const known = tables.find(table => table.id === id);
  if (known) return open(known);
  try {
    const task = await find(encodeURIComponent(id));
    const address = addressOf(task);
    if (task.kind !== 'table') return address ? location.replace(address) : set($('#trouble'), `It is a task of the kind “${task.kind}”.`);
    found = tableOf(await findTable(task.id));
    $('#found-list').replaceChildren(found.view.element);
    $('#found').hidden = false;
    open(found);
  } catch (error) {
    set($('#trouble'), error instanceof Refusal ? error.message : 'The server can’t be reached. Check the connection and try again.');
  }
}

function closeFound() {
  if (shown() === found) close();
  found.isDropped = true;
  $('#found').hidden = true;
  $('#found-list').replaceChildren();
  history.replaceState(null, '', '/tables');
  $('#files').focus(); // The button is gone.
}

for (const name of ['away', 'back']) addEventListener(name, () => { $('#away').hidden = name === 'back'; });
addEventListener('beforeunload', event => {
  if (tables.some(({ id, hasEnded }) => !id && !hasEnded)) event.preventDefault(); // Their files would not be sent.
});
for (const name of ['dragover', 'drop']) {
  // The browser would open a file dropped beside the field in place of the page.
  addEventListener(name, event => { if (event.target.id !== 'files') event.preventDefault(); });
}

$('#origin').textContent = location.origin;
$('#files').addEventListener('change', choose);
$('#clear').addEventListener('click', clear);
$('#close-found').addEventListener('click', closeFound);

kept.of(await owner);
restore();
look();
