// The rows of one table with their results, a page at a time.

import { Refusal, readRows, rowsOf, untilReachable } from './api.js';
import { $, count, set } from './dom.js';
import { tell } from './news.js';
import { oneLine } from './text.js';

const PAGE = 50;
/** Seconds between two reads of a page with unsent rows. */
const PERIOD = 2;

const body = $('#page tbody');
const onlyFailed = $('#only-failed');

let table = null;
/** The number of rows before the page. */
let after = 0;
let run = new AbortController();
/** When the page was read last, in milliseconds; infinite if nothing on it can change. */
let looked = 0;

/** The table whose rows are shown. */
export const shown = () => table;

/** Shows the rows of a table from its first one on. */
export function open(given) {
  table = given;
  $('#rows').hidden = false;
  set($('#rows-title bdi'), oneLine(table.name));
  onlyFailed.checked = false;
  for (const link of document.querySelectorAll('#downloads a')) {
    const { format } = link.dataset;
    link.href = rowsOf(table.id, { format });
    link.download = `${oneLine(table.name).replace(/\.csv$/i, '')}-rows.${format}`;
  }
  turn(0);
}

export function close() {
  run.abort();
  table = null;
  $('#rows').hidden = true;
}

/** Reads the page again after a change of the table. */
export function refresh() {
  if (table.hasEnded ? looked < Infinity : performance.now() - looked > 1000 * PERIOD) show();
}

async function turn(to) {
  after = to;
  if (await show()) tell($('#place').textContent || $('#empty').textContent);
}

/** Reads the page. Returns whether it could. */
async function show() {
  run.abort();
  run = new AbortController();
  const { signal } = run;
  looked = table.hasEnded ? Infinity : performance.now();
  try {
    // One row more than is shown tells whether a next page exists.
    const rows = await readRows(table.id, onlyFailed.checked ? { status: 'failed' } : {}, { after, count: PAGE + 1 }, signal);
    signal.throwIfAborted();
    render(rows.slice(0, PAGE), rows.length > PAGE);
    set($('#rows-error'), '');
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    if (error instanceof Refusal) set($('#rows-error'), error.message);
    else untilReachable().then(() => signal.aborted || show());
    return false;
  }
}

function render(rows, hasNext) {
  $('#page').hidden = !rows.length;
  $('#empty').hidden = rows.length > 0;
  set($('#empty'), onlyFailed.checked ? 'No row has failed.' : 'The table has no rows.');
  while (body.rows.length > rows.length) body.lastChild.remove();
  while (body.rows.length < rows.length) body.append($('#row').content.cloneNode(true));
  rows.forEach((row, at) => fill(body.rows[at], row));
  const all = onlyFailed.checked ? 'of those that failed' : `of ${count(table.rows)}`;
  set($('#place'), rows.length ? `Rows ${count(after + 1)} to ${count(after + rows.length)} ${all}` : '');
  const focused = document.activeElement;
  $('#previous').hidden = !after;
  $('#next').hidden = !hasNext;
  if (focused.hidden) $('#rows-title').focus();
}

function fill(line, { row, input, status, reply }) {
  const isSent = status !== null || reply !== null;
  line.dataset.failed = isSent ? String(!(status >= 200 && status < 300)) : '';
  set($('.number', line), count(row));
  set($('.user', line), input ? String(input.userId) : '');
  set($('.title bdi', line), input?.title ?? '');
  set($('.body bdi', line), input?.body ?? '');
  set($('.status', line), isSent ? String(status ?? 'none') : 'not sent');
  set($('.reply bdi', line), reply === null ? '' : JSON.stringify(reply));
}

$('#previous').addEventListener('click', () => turn(Math.max(0, after - PAGE)));
$('#next').addEventListener('click', () => turn(after + PAGE));
onlyFailed.addEventListener('change', () => turn(0));
