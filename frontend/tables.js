// The page for tables: what a person can do on it. Which table's rows are shown is in its address.

import { Refusal, findTable, newKey, retryTable, words } from './api.js';
import { $, set } from './dom.js';
import './gate.js';
import { History } from './history.js';
import { report, tell } from './news.js';
import { close, open, refresh as refreshRows, shown } from './rows.js';
import { Table, progress } from './table.js';

const kept = new History('coatcheck-tables', {
  needed: ['id', 'name', 'status'],
  more: ['size', 'created', 'rows', 'done', 'failedRows', 'error'],
});

const list = $('#list');

/** Newest first. */
let tables = [];

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
    report(`${table.name} ${words}`, () => `${tables.filter(({ hasEnded }) => hasEnded).length} tables have ended.`);
  }
  if (table === shown()) refreshRows();
  refresh();
}

/** Shows each control only while it has a use. */
function refresh() {
  $('#tickets').hidden = !tables.length;
  $('#clear').hidden = !tables.some(({ hasEnded }) => hasEnded);
  kept.save(tables);
}

function show(table) {
  history.replaceState(null, '', `/tables?id=${table.id}`);
  open(table);
  $('#rows-title').focus();
}

/** Sends those rows again that failed. Asked twice, it is the same task. */
async function again(table) {
  table.againKey ??= newKey();
  try {
    const task = await retryTable(table.id, table.againKey);
    const { view } = tables.find(({ id }) => id === task.id) ?? add(task);
    $('h3', view.element).focus();
    tell(`The rows of ${table.name} that failed are sent again. Their ticket is on top of the list.`);
  } catch (error) {
    table.set({ note: `The rows can’t be sent again now: ${words(error)}` });
  }
}

/** Puts a table on top of the list, given as its task, and follows it. */
function add(task) {
  const table = newTable({ sent: 1, reported: task.finished ? task.status : null });
  tables.unshift(table);
  table.update(task);
  list.prepend(table.view.element);
  table.follow();
  return table;
}

function clear() {
  if (shown()?.hasEnded) {
    close();
    history.replaceState(null, '', '/tables');
  }
  kept.clear();
  tables.filter(({ hasEnded }) => hasEnded).forEach(({ view }) => view.element.remove());
  tables = tables.filter(({ hasEnded }) => !hasEnded);
  refresh();
  tell('The list is cleared.');
  $(tables.length ? '#tickets-title' : '#files').focus(); // The button may be gone.
}

/** Shows tables of an earlier visit. */
function restore() {
  tables = kept.load().map(fields => newTable({ ...fields, sent: 1, reported: fields.status }));
  for (const table of tables) {
    table.view.update();
    list.append(table.view.element);
    table.follow();
  }
  refresh();
}

/** Shows the table that the address names. */
async function look() {
  const id = new URLSearchParams(location.search).get('id');
  if (!id) return;
  const known = tables.find(table => table.id === id);
  if (known) return open(known);
  try {
    open(add(await findTable(encodeURIComponent(id))));
  } catch (error) {
    set($('#trouble'), error instanceof Refusal ? error.message : 'The server can’t be reached. Check the connection and try again.');
  }
}

for (const name of ['away', 'back']) addEventListener(name, () => { $('#away').hidden = name === 'back'; });
addEventListener('beforeunload', event => {
  if (tables.some(({ id, hasEnded }) => !id && !hasEnded)) event.preventDefault(); // Their files would not be sent.
});
for (const name of ['dragover', 'drop']) {
  // What misses the field would be opened by the browser, in place of the page.
  addEventListener(name, event => { if (event.target.id !== 'files') event.preventDefault(); });
}

$('#origin').textContent = location.origin;
$('#files').addEventListener('change', choose);
$('#clear').addEventListener('click', clear);

restore();
look();
