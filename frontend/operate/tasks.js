// The list of tasks. Its address has the search and the page. Rows don't move while they are used: newer tasks are offered.

import { $, blamed, count, set } from '../dom.js';
import { tell } from '../news.js';
import { oneLine } from '../text.js';
import { offerBulk } from './bulk.js';
import { listKinds, searchTasks } from './calls.js';
import { follow, keep } from './live.js';
import { link, showRows } from './page.js';
import { between, lasting, showTime } from './times.js';

const PAGE = 100;
/** Seconds between two counts of all tasks that match. */
const COUNT_AGE = 10;
/** The filters that have fields. */
const FIELDS = ['kind', 'status', 'error_code', 'order', 'created_after', 'created_before'];
const TIMES = ['created_after', 'created_before'];
/** The filters that only links set, in words. */
const LINKED = { worker: 'run by worker', owner: 'of user', finished_after: 'ended from', finished_before: 'ended before' };
/** What pages a list, and is not part of its filter. */
const PAGING = ['after', 'order'];

let asked = new URLSearchParams();
/** The tasks that are shown, and the newest answer. */
let shown = [];
let found = [];
/** The row to which a return from its task leads. */
let opened = null;

/** Returns whether a text is a task's id. */
export const isId = text => /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);

const get = name => asked.get(name) ?? '';
const filter = () => Object.fromEntries([...asked].filter(([name]) => !PAGING.includes(name)));

/** Returns the address with some parameters changed; from its first page on, unless that is changed. */
function addressOf(change) {
  const next = new URLSearchParams(asked);
  for (const [name, value] of Object.entries({ after: '', ...change })) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  return String(next) ? `#tasks?${next}` : '#tasks';
}

/** Returns the address of the list as it was shown last. */
export const addressOfList = () => addressOf({ after: get('after') });

const go = change => { location.hash = addressOf(change); };

/** Shows the list that the parameters name, until the signal is aborted. */
export function show(signal, parameters) {
  if (String(parameters) !== String(asked)) [shown, found] = [[], []];
  asked = parameters;
  fillForm();
  let [isFirst, isStale, counted] = [true, true, -Infinity];
  follow({ outcomes: batch => { isStale = true; patch(batch); }, again: () => { isStale = true; } });
  keep(signal, 2, async () => {
    const hasMoving = shown.some(({ finished }) => !finished);
    // A page in the middle changes only by what ends.
    if (!isFirst && !isStale && !hasMoving && get('after')) return;
    isStale = false;
    const mustCount = performance.now() - counted > COUNT_AGE * 1000;
    const answer = await searchTasks({ ...Object.fromEntries(asked), limit: PAGE, ...(mustCount && { total: true }) }, signal);
    if (mustCount) {
      counted = performance.now();
      showTotal(answer);
    }
    take(answer, isFirst);
    isFirst = false;
  }, refused);
}

function showTotal({ total, total_at_least: least }) {
  const number = total === null ? `at least ${count(least)}` : count(total);
  set($('#total'), `${number} ${total === 1 ? 'task' : 'tasks'}`);
}

/** Shows an answer; of one that came by itself only what leaves each row in its place. */
function take({ tasks, next }, isWanted) {
  found = tasks;
  const isUsed = $('#list').matches(':hover, :focus-within');
  if (isWanted || !isUsed || !shown.length) shown = tasks;
  else shown = shown.map(task => tasks.find(({ id }) => id === task.id) ?? task);
  const known = new Set(shown.map(({ id }) => id));
  const more = found.filter(({ id }) => !known.has(id)).length;
  $('#newer').hidden = !more;
  set($('#newer'), more === PAGE ? `Show over ${PAGE} others` : `Show ${more} ${more === 1 ? 'other' : 'others'}`);
  link($('#first'), get('after') && addressOf({}));
  link($('#next'), next && addressOf({ after: next }));
  render();
  if (!isWanted) return;
  tell(shown.length ? `${count(shown.length)} tasks are shown.` : $('#empty').textContent);
  if (opened) $(`#list [data-key="${opened}"] a`)?.focus();
  opened = null;
}

/** Shows what the feed tells of the tasks in the list. */
function patch(batch) {
  const ends = new Map(batch.map(one => [one.id, one]));
  let isChanged = false;
  shown = shown.map(task => {
    const end = !task.finished && ends.get(task.id);
    if (!end) return task;
    isChanged = true;
    const { status, finished, detail } = end;
    return { ...task, status, finished, error: status === 'failed' ? { code: detail, detail: '' } : null, detail };
  });
  if (isChanged) render();
}

function refused(error) {
  const { name, words } = blamed(error.message);
  set($('#search-error'), words);
  if (FIELDS.includes(name)) $(`#${name}`).ariaInvalid = 'true';
  [shown, found] = [[], []];
  for (const id of ['#newer', '#first', '#next']) $(id).hidden = true;
  set($('#total'), '');
  render();
  $('#empty').hidden = true;
}

// ---- Rows ----

const WAITING = ['pending', 'running'];

/** Returns the state by which a task is coloured. */
export const stateOf = ({ status, error }) => (status === 'pending' && error ? 'waiting' : status);

/** Returns what a task is called. */
export const nameOf = ({ input, id }) => oneLine(input?.filename || input?.text || (input?.action ? `${input.action} of many` : id));

/** Describes what came of a task, in a line. */
export function outcomeOf({ status, error, result, detail }) {
  if (error) return [error.code, error.detail].filter(Boolean).join(': ');
  if (!result) return WAITING.includes(status) || detail === '-' ? '' : detail ?? '';
  if (result.rows !== undefined) return `${count(result.rows)} rows, ${count(result.failed)} failed`;
  if (result.affected !== undefined) return `${count(result.affected)} ${result.affected === 1 ? 'task' : 'tasks'} changed`;
  return result.md5 ?? result.provider ?? JSON.stringify(result);
}

/** Returns how long a task has waited for its attempt and how long that has taken, in words; '' for what there is not. */
export function lengthsOf({ status, created, started, finished }) {
  const hasBegun = started && status !== 'pending';
  return {
    waited: hasBegun || !finished ? lasting(between(created, hasBegun ? started : null)) : '',
    worked: hasBegun ? lasting(between(started, finished)) : '',
  };
}

function render() {
  $('#empty').hidden = shown.length > 0;
  showRows($('#list'), '#task-row', shown, ({ id }) => id, (row, task) => {
    const { id, kind, status, created } = task;
    row.dataset.state = stateOf(task);
    set($('.state', row), status);
    set($('.kind', row), kind);
    const name = $('.entry', row);
    link(name, `#task/${id}`, nameOf(task));
    name.title = id;
    name.onclick = () => { opened = id; };
    showTime($('time', row), created);
    const { waited, worked } = lengthsOf(task);
    set($('.waited', row), waited);
    set($('.worked', row), worked);
    set($('.outcome bdi', row), oneLine(outcomeOf(task)));
    $('.outcome', row).title = oneLine(outcomeOf(task));
  });
}

// ---- The form ----

/** Formats a time for its field, on this device's clock. */
function local(time) {
  const date = new Date(time);
  return Number.isNaN(date.valueOf()) ? '' : new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function fillForm() {
  $('#q').value = get('filename');
  for (const name of FIELDS) {
    const field = $(`#${name}`);
    field.value = TIMES.includes(name) ? get(name) && local(get(name)) : get(name);
    field.ariaInvalid = 'false';
  }
  // The choice has not every combination that an address may have.
  if ($('#status').value !== get('status')) $('#status').append(new Option(get('status'), get('status'), true, true));
  set($('#search-error'), '');
  $('#clear').hidden = !String(asked);
  const linked = Object.keys(LINKED).filter(get);
  $('#chips').hidden = !linked.length;
  $('#chips').replaceChildren(...linked.map(name => {
    const button = document.createElement('button');
    button.type = 'button';
    set(button, `${LINKED[name]} ${oneLine(get(name))} ×`);
    button.ariaLabel = `Remove the filter: ${LINKED[name]} ${oneLine(get(name))}`;
    button.onclick = () => go({ [name]: '' });
    const item = document.createElement('li');
    item.append(button);
    return item;
  }));
  fillKinds();
}

async function fillKinds() {
  const field = $('#kind');
  if (field.options.length === 1) for (const { kind } of await listKinds()) field.append(new Option(kind, kind));
  if (get('kind') && field.value !== get('kind')) field.append(new Option(get('kind'), get('kind')));
  field.value = get('kind');
}

function search() {
  const text = $('#q').value.trim();
  if (isId(text)) {
    location.hash = `#task/${text.toLowerCase()}`;
    return;
  }
  const utc = ({ value }) => value && new Date(value).toISOString();
  const fields = FIELDS.map(name => [name, TIMES.includes(name) ? utc($(`#${name}`)) : $(`#${name}`).value.trim()]);
  go({ filename: text, ...Object.fromEntries(fields) });
}

/** Sets the view up, once. */
export function begin() {
  $('#search').addEventListener('submit', event => {
    event.preventDefault();
    search();
  });
  for (const name of ['kind', 'status', 'order']) $(`#${name}`).addEventListener('change', search);
  $('#clear').addEventListener('click', () => {
    location.hash = '#tasks';
    $('#q').focus(); // The button is gone.
  });
  $('#newer').addEventListener('click', () => {
    shown = found;
    $('#newer').hidden = true;
    render();
    $('#list .entry')?.focus(); // The button is gone.
  });
  offerBulk(filter);
}
