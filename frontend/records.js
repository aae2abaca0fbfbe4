// The page of the access log. Its address contains the view, so that a view can be shared and reloaded.

import { Refusal, countRecords, pause, readRecords, untilReachable } from './api.js';
import { $, blamed, count, set } from './dom.js';
import './gate.js';
import { tell } from './news.js';
import { showNumbers } from './numbers.js';
import { oneLine } from './text.js';

const HOUR = 3_600_000; // Times are milliseconds here, as Date has them.
const LASTS = {
  '15m': [HOUR / 4, 'in the last 15 minutes'],
  '1h': [HOUR, 'in the last hour'],
  '1d': [24 * HOUR, 'in the last day'],
  all: [Infinity, 'in all'],
};
const FILTERS = ['ip', 'method', 'status_code', 'uri'];
/** The number of records shown at first. */
const PAGE = 100;
/** The number of records requested at once. */
const LIMIT = 1000;
const FIRST_SPAN = 15_000;

const body = $('#records tbody');
const live = $('#live');
const moment = new Intl.DateTimeFormat('en', { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

// ---- The view ----

let asked = new URLSearchParams(location.search);

const get = name => asked.get(name) ?? '';
const isSpan = () => Boolean(get('date_from') || get('date_to'));
const last = () => (Object.hasOwn(LASTS, get('last')) ? get('last') : '1h');
const filters = () => Object.fromEntries(FILTERS.filter(get).map(name => [name, get(name)]));
/** Whether new records are followed: not if the view has an end. */
const isLive = () => get('live') !== 'off' && !get('date_to');

/** Returns the address with some parameters changed. */
function addressOf(change) {
  const next = new URLSearchParams(asked);
  for (const [name, value] of Object.entries(change)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  return `/records?${next}`;
}

function go(change) {
  history.pushState(null, '', addressOf(change));
  show();
}

/** Formats a time for its field, on this device's clock. */
function local(time) {
  const date = new Date(time);
  return Number.isNaN(date.valueOf()) ? '' : at(date - date.getTimezoneOffset() * 60_000).slice(0, 19);
}

function fillForms() {
  $('#last').value = isSpan() ? 'span' : last();
  for (const name of ['date_from', 'date_to']) $(`#${name}`).value = get(name) && local(get(name));
  for (const name of FILTERS) [$(`#${name}`).value, $(`#${name}`).ariaInvalid] = [get(name), 'false'];
  live.checked = isLive();
  live.parentElement.hidden = get('date_to') !== '';
  $('#clear').hidden = !FILTERS.some(get);
  for (const id of ['#trouble', '#filter-error']) set($(id), '');
  showSpan();
}

function showSpan() {
  for (const part of document.querySelectorAll('.span')) part.hidden = $('#last').value !== 'span';
}

// ---- Asking the server ----

let run = new AbortController();
/** Newest first. */
let rows = [];
let wanted = PAGE;
/** All matching records created then or later are in `rows`. */
let edge = Infinity;
let span = FIRST_SPAN;

const at = time => new Date(time).toISOString();

/** Returns the time at which the view begins. */
function begin() {
  if (isSpan()) return get('date_from') ? Date.parse(get('date_from')) : 0;
  return Math.max(0, Date.now() - LASTS[last()][0]);
}

/** Shows the view of the address, and follows it. Stops requests of the previous view. */
function show() {
  run.abort();
  run = new AbortController();
  const { signal } = run;
  asked = new URLSearchParams(location.search);
  [rows, wanted, edge, span] = [[], PAGE, Infinity, FIRST_SPAN];
  fillForms();
  keep(signal, 2, async () => {
    if (edge < Infinity) return newer(signal);
    await older(signal);
    tell(rows.length ? `${count(body.rows.length)} requests are shown.` : $('#empty-words').textContent);
  });
  keep(signal, 5, async () => {
    const [date_from, date_to] = isSpan() ? [get('date_from') || at(0), get('date_to')] : [at(begin())];
    const stats = await countRecords({ date_from, ...(date_to && { date_to }) }, signal);
    showNumbers(stats, isSpan() ? 'in this time' : LASTS[last()][1], addressOf);
  });
}

/** Repeats a step while the view is followed and visible. Waits while the server is away. */
async function keep(signal, seconds, step) {
  while (!signal.aborted) {
    const began = performance.now();
    let rest;
    try {
      await step();
      if (!isLive()) return;
      // A server that takes long to count is asked less often.
      rest = Math.max(seconds, (performance.now() - began) / 100);
      set($('#trouble'), '');
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Refusal)) await untilReachable();
      else if (error.code === 'record-not-found') return show(); // The log was replaced.
      else if (!error.mayPass) return refused(error);
      else set($('#trouble'), error.message);
      rest = error.seconds ?? 0;
    }
    await pause(rest);
    if (document.hidden) await new Promise(done => document.addEventListener('visibilitychange', done, { once: true }));
  }
}

/** Shows an error, and marks its field. */
function refused({ message }) {
  const { name, words } = blamed(message);
  const isFilter = FILTERS.includes(name);
  set($(isFilter ? '#filter-error' : '#trouble'), words);
  if (isFilter) $(`#${name}`).ariaInvalid = 'true';
  else run.abort();
  render();
}

/**
 * Reads back in time until the page is full. The API returns the oldest records of a period first: of a period with too many
 * records a part is requested, after one with few a longer one.
 */
async function older(signal) {
  while (rows.length < wanted && edge > begin()) {
    const to = Math.min(edge, get('date_to') ? Date.parse(get('date_to')) : Date.now());
    const from = Math.max(begin(), to - span);
    // Up to the oldest record shown; without any, to the end, whatever the clocks say.
    const date_to = edge < Infinity ? at(edge - 1).replace('Z', '999Z') : get('date_to');
    const query = { ...filters(), date_from: at(from), ...(date_to && { date_to }), limit: LIMIT };
    const found = await readRecords(query, signal);
    if (found.length === LIMIT && span > 1) {
      span = Math.ceil(Math.min(span, to - from + 1) / 4);
      continue;
    }
    for (let some = found; some.length === LIMIT; found.push(...some)) { // In a millisecond: a bulk's.
      some = await readRecords({ ...query, id: some.at(-1).id }, signal);
    }
    signal.throwIfAborted();
    rows.push(...found.reverse());
    edge = from;
    span *= 4;
    render();
  }
}

/** Adds the records after the newest one. If they are very many, reloads the view. */
async function newer(signal) {
  const from = at(begin());
  const some = await readRecords({ ...filters(), ...(rows.length ? { id: rows[0].id } : { date_from: from }), limit: LIMIT }, signal);
  signal.throwIfAborted();
  if (some.length === LIMIT) return show();
  rows.unshift(...some.reverse());
  while (rows.at(-1)?.created < from) rows.pop();
  render();
}

// ---- The list ----

function render() {
  const shown = rows.slice(0, wanted);
  const kept = new Set(shown);
  for (const row of [...body.rows]) if (!kept.has(row.record)) row.remove();
  shown.forEach((record, place) => {
    if (body.rows[place]?.record !== record) body.insertBefore(rowOf(record), body.rows[place] ?? null);
  });
  const isEnd = edge <= begin();
  const isFiltered = FILTERS.some(get);
  for (const id of ['#records', '#zone']) $(id).hidden = !rows.length;
  $('#more').hidden = !rows.length || (isEnd && rows.length <= wanted);
  $('#empty').hidden = rows.length > 0 || !isEnd;
  $('#teach').hidden = isFiltered;
  set($('#empty-words'), isFiltered ? 'No request of this time matches the filter.' : 'Nothing was reported in this time. Choose a longer one, or send a record:');
}

function rowOf(record) {
  const { created, log: { ip, method, uri, status_code: status } } = record;
  const row = $('#record').content.firstElementChild.cloneNode(true);
  row.record = record;
  row.dataset.class = String(status)[0];
  const [when, where] = [$('time', row), $('bdi', row)];
  when.dateTime = when.title = created;
  when.textContent = moment.format(new Date(created));
  where.textContent = where.title = oneLine(uri);
  for (const [name, value] of Object.entries({ ip, method, status })) $(`.${name}`, row).textContent = oneLine(String(value));
  return row;
}

async function showMore() {
  const { signal } = run;
  wanted += 2 * PAGE;
  render();
  try {
    await older(signal);
    tell(`${count(body.rows.length)} requests are shown.`);
  } catch (error) {
    if (!signal.aborted) set($('#trouble'), error instanceof Refusal ? error.message : 'The older requests could not be loaded. Try again.');
  }
}

// ---- The page ----

$('#origin').textContent = location.origin;
$('#zone').textContent = `Times are those of this device (${Intl.DateTimeFormat().resolvedOptions().timeZone}). Point at one for UTC.`;
for (const name of ['away', 'back']) addEventListener(name, () => { $('#away').hidden = name === 'back'; });
addEventListener('popstate', show);

$('#last').addEventListener('change', ({ target: { value } }) => {
  if (value !== 'span') return go({ last: value, date_from: '', date_to: '' });
  $('#date_from').value ||= local(begin());
  showSpan();
  $('#date_from').focus();
});
$('#time').addEventListener('submit', event => {
  event.preventDefault();
  const utc = ({ value }) => value && at(value);
  if ($('#last').value === 'span') go({ last: '', date_from: utc($('#date_from')), date_to: utc($('#date_to')) });
});
$('#filter').addEventListener('submit', event => {
  event.preventDefault();
  go(Object.fromEntries(FILTERS.map(name => [name, $(`#${name}`).value.trim()])));
});
$('#clear').addEventListener('click', () => {
  go({ ip: '', method: '', status_code: '', uri: '' });
  $('#ip').focus(); // The button is gone.
});
live.addEventListener('change', () => {
  history.replaceState(null, '', addressOf({ live: live.checked ? '' : 'off' }));
  show();
});
$('#more').addEventListener('click', showMore);

show();
