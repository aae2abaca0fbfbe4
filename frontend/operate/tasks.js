// The list of tasks. Its address has the search and the page. Rows don't move while they are used: newer tasks are offered.

import { find } from '../api.js';
import { $, blamed, count, counted, set } from '../dom.js';
import { tell } from '../news.js';
import { oneLine } from '../text.js';
import { allowBulk, changedBy, offerBulk } from './bulk.js';
import { searchTasks } from './calls.js';
import { areChosen, begin as offerChosen, offerChoice, showChosen } from './chosen.js';
import { groupFailures } from './failures.js';
import { clash, filterInWords, wordsOf } from './filters.js';
import { follow, keep, visible } from './live.js';
import { choose, link, offerKinds, showRows } from './page.js';
import { between, lasting, showTime } from './times.js';

const PAGE = 100;
/** Seconds between two counts of all tasks that match. */
const COUNT_AGE = 10;
/** The filters that have fields. */
const FIELDS = ['kind', 'status', 'error_code', 'order', 'created_after', 'created_before'];
const TIMES = ['created_after', 'created_before'];
/** The filters that only links set. */
const LINKED = ['worker', 'owner', 'finished_after', 'finished_before'];
/** The most rows that ended and left the list, whose tasks are asked for one by one. */
const LEFT = 20;
/** What pages a list, and is not part of its filter. */
const PAGING = ['after', 'order'];

let asked = new URLSearchParams();
/** The tasks that are shown, and the newest answer. */
let shown = [];
let found = [];
/** The row to which a return from its task leads. */
let opened = null;
/** The fields as the search that is listed has them. */
let filled = {};
/** The number of tasks that match, at least; null while it is not known. */
let number = null;

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
  [number, $('#empty').hidden] = [null, true];
  set($('#total'), '');
  allow();
  follow({ outcomes: batch => { isStale = true; patch(batch); }, again: () => { isStale = true; } });
  keep(signal, 2, async () => {
    const hasMoving = shown.some(({ finished }) => !finished);
    // A page in the middle changes only by what ends.
    if (!isFirst && !isStale && !hasMoving && get('after')) return;
    isStale = false;
    const mustCount = performance.now() - counted > COUNT_AGE * 1000;
    const query = { ...Object.fromEntries(asked), limit: PAGE };
    const first = await searchTasks({ ...query, ...(mustCount && { total: true }) }, signal);
    if (mustCount) counted = performance.now();
    const answer = await lookFurther(query, first, signal);
    if (mustCount) showTotal(first, answer.tasks.length);
    take(answer, isFirst);
    isFirst = false;
    allow();
    await complete(answer.tasks, signal);
  }, refused);
}

/** Goes on from a page without tasks: the server looks at a number of them for each page, and none of these may match. */
async function lookFurther(query, answer, signal) {
  while (!answer.tasks.length && answer.next) {
    signal.throwIfAborted();
    if (!shown.length) {
      render();
      showEmpty('Looking further …');
    }
    await visible();
    answer = await searchTasks({ ...query, after: answer.next }, signal);
  }
  return answer;
}

/** Shows the number of tasks that match; `seen` are known to. */
function showTotal({ total, total_at_least: least }, seen) {
  number = total ?? Math.max(least, seen);
  const words = counted(number, 'task');
  set($('#total'), total === null && number ? `at least ${words}` : words);
}

function showEmpty(words) {
  set($('#empty'), words);
  $('#empty').hidden = false;
}

/** Asks for the tasks of rows that have ended, and that the list has no more: the feed does not tell when they began. */
async function complete(listed, signal) {
  const left = shown.filter(task => task.isTold && !listed.some(({ id }) => id === task.id)).slice(0, LEFT);
  const whole = await Promise.all(left.map(({ id }) => find(id).catch(() => null)));
  if (signal.aborted) return;
  const known = new Map(whole.filter(Boolean).map(task => [task.id, task]));
  if (!known.size) return;
  shown = shown.map(task => known.get(task.id) ?? task);
  render();
}

/** Shows an answer; of one that came by itself only what leaves each row in its place. */
function take({ tasks, next }, isWanted) {
  found = tasks;
  const isUsed = areChosen() || $('#list').matches(':hover, :focus-within');
  if (isWanted || !isUsed || !shown.length) shown = tasks;
  else shown = shown.map(task => tasks.find(({ id }) => id === task.id) ?? task);
  const known = new Set(shown.map(({ id }) => id));
  const more = found.filter(({ id }) => !known.has(id)).length;
  $('#newer').hidden = !more;
  set($('#newer'), more === PAGE ? `Show over ${PAGE} others` : `Show ${counted(more, 'other')}`);
  link($('#first'), get('after') && addressOf({}));
  link($('#next'), next && addressOf({ after: next }));
  render();
  if (!isWanted) return;
  const words = `${counted(shown.length, 'task is', 'tasks are')} shown.`;
  tell(shown.length ? words : $('#empty').textContent);
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
    return { ...task, status, finished, error: status === 'failed' ? { code: detail, detail: '' } : null, detail, isTold: true };
  });
  if (isChanged) render();
}

function refused(error) {
  const { name, words } = blamed(error.message);
  set($('#search-error'), (error.code === 'unserved-filter' && clash(filter())) || words);
  if (FIELDS.includes(name)) $(`#${name}`).ariaInvalid = 'true';
  [shown, found, number] = [[], [], 0];
  for (const id of ['#newer', '#first', '#next']) $(id).hidden = true;
  set($('#total'), '');
  render();
  $('#empty').hidden = true;
  allow();
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
  if (result.affected !== undefined) return changedBy(result, 'changed');
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
  if (shown.length) $('#empty').hidden = true;
  else showEmpty('No task matches.');
  showRows($('#list'), '#task-row', shown, ({ id }) => id, (row, task) => {
    const { id, kind, status, created } = task;
    row.dataset.state = stateOf(task);
    set($('.state', row), status);
    set($('.kind', row), kind);
    const name = $('.entry', row);
    link(name, `#task/${id}`, nameOf(task));
    name.title = id;
    offerChoice($('.pick input', row), id, nameOf(task));
    name.onclick = () => { opened = id; };
    showTime($('time', row), created);
    const { waited, worked } = lengthsOf(task);
    set($('.waited', row), waited);
    set($('.worked', row), worked);
    set($('.outcome bdi', row), oneLine(outcomeOf(task)));
    $('.outcome', row).title = oneLine(outcomeOf(task));
  });
  showChosen(shown);
}

// ---- The form ----

/** Formats a time for its field, on this device's clock. */
function local(time) {
  const date = new Date(time);
  return Number.isNaN(date.valueOf()) ? '' : new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** Returns the fields as they are. */
const typed = () => Object.fromEntries(['q', ...FIELDS].map(name => [name, $(`#${name}`).value.trim()]));

function fillForm() {
  $('#q').value = get('filename');
  for (const name of FIELDS) {
    const field = $(`#${name}`);
    // A choice has not every combination that an address may have.
    if (field.matches('select')) choose(field, get(name));
    else field.value = TIMES.includes(name) ? get(name) && local(get(name)) : get(name);
    field.ariaInvalid = 'false';
  }
  filled = typed();
  set($('#search-error'), '');
  set($('#filter-words'), filterInWords(filter()));
  if (TIMES.some(get)) $('#times').open = true;
  openFilters();
  $('#clear').hidden = !String(asked);
  const linked = LINKED.filter(get);
  $('#chips').hidden = !linked.length;
  $('#chips').replaceChildren(...linked.map(name => {
    const button = document.createElement('button');
    button.type = 'button';
    set(button, `${wordsOf(name, get(name))} ×`);
    button.ariaLabel = `Remove the filter: ${wordsOf(name, get(name))}`;
    button.onclick = () => go({ [name]: '' });
    const item = document.createElement('li');
    item.append(button);
    return item;
  }));
  offerKinds($('#kind')).catch(() => { /* The next look at the list asks again. */ });
}

const narrow = matchMedia('(max-width: 52rem)');

/** On a narrow screen the fields are folded up, unless one of them is set. */
function openFilters() {
  $('#filters').open = !narrow.matches || ['kind', 'status', 'error_code', 'order'].some(get);
}

/** Switches the acts on all that match off while it is not clear which tasks these are. */
function allow() {
  const now = typed();
  const hasChanged = Object.keys(now).some(name => now[name] !== filled[name]);
  allowBulk(filter(), { areOff: hasChanged || !number, why: hasChanged ? 'Search first: the fields differ from what is listed.' : '' });
}

/** Offers the codes of the newest failed tasks. */
async function offerCodes() {
  const { groups } = await groupFailures();
  $('#codes').replaceChildren(...[...new Set(groups.map(({ code }) => code))].map(code => new Option(code)));
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
  $('#search').addEventListener('input', allow);
  for (const name of ['kind', 'status', 'order']) $(`#${name}`).addEventListener('change', search);
  narrow.addEventListener('change', openFilters);
  $('#error_code').addEventListener('focus', () => offerCodes().catch(() => { /* It is typed then. */ }));
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
  offerChosen(render);
}
