// The view of the present: tasks by kind and status, the oldest waits, pauses, the parts of the service, and failures by code.

import { $, count, set } from '../dom.js';
import { oneLine } from '../text.js';
import { askParts, listKinds, pauseKind, resumeKind, searchTasks } from './calls.js';
import { showCharts } from './charts.js';
import { follow, keep } from './live.js';
import { act, isSure, link, may, showDone, showRows } from './page.js';
import { lasting, showTime } from './times.js';

const ENDS = ['succeeded', 'failed', 'cancelled'];
/** The newest failures that are grouped; the most of a page. */
const FAILURES = 1000;
/** Seconds after which numbers are read again although nothing was heard of: retention deletes tasks. */
const AGE = 60;

/** The kinds as they were last listed. */
let kinds = [];
/** Texts of the numbers of ended tasks, by `kind/status`. */
const totals = new Map();

/** Shows the view until the signal is aborted. */
export function show(signal) {
  const changed = { totals: true, failures: true };
  follow({
    outcomes: batch => {
      changed.totals = true;
      changed.failures ||= batch.some(({ status }) => status === 'failed');
    },
    again: () => { changed.totals = changed.failures = true; },
  });
  keep(signal, 2, async () => {
    kinds = await listKinds();
    showKinds();
  });
  keep(signal, 2, ifChanged(() => changed.totals, () => { changed.totals = false; }, countEnded));
  keep(signal, 3, ifChanged(() => changed.failures, () => { changed.failures = false; }, groupFailures));
  keep(signal, 15, async () => showParts(await askParts()));
  showCharts(signal);
}

/** Makes a step of `work` that is done only when something has changed, or after a minute. */
function ifChanged(has, reset, work) {
  let read = -Infinity;
  return async () => {
    if (!has() && performance.now() - read < AGE * 1000) return;
    reset();
    await work();
    read = performance.now();
  };
}

// ---- Kinds ----

const listOf = query => `#tasks?${new URLSearchParams(query)}`;

function showKinds() {
  showRows($('#kinds'), '#kind-row', kinds, ({ kind }) => kind, (row, { kind, paused, since, pending, running, oldest }) => {
    set($('.kind', row), kind);
    link($('.pending a', row), listOf({ kind, status: 'pending' }), count(pending));
    link($('.running a', row), listOf({ kind, status: 'running' }), count(running));
    showTime($('.oldest time', row), oldest, 'for');
    if (!oldest) set($('.oldest time', row), '–');
    for (const status of ENDS) showTotal(row, kind, status);
    const button = $('.pause', row);
    set($('.paused', row), paused ? 'paused' : '');
    $('.paused', row).title = since ?? '';
    set(button, paused ? 'Resume' : 'Pause …');
    button.ariaLabel = `${paused ? 'Resume' : 'Pause'} ${kind}`;
    button.onclick = () => (paused ? resume(button, kind) : pause(button, kind));
  });
}

function showTotal(row, kind, status) {
  const text = totals.get(`${kind}/${status}`) ?? '–';
  const cell = $(`.${status}`, row);
  link($('a', cell), listOf({ kind, status }), text);
  if (text === '0' || text === '–') delete cell.dataset.some;
  else cell.dataset.some = '';
}

/** Counts the ended tasks: exactly up to the number to which the server counts. */
async function countEnded() {
  for (const { kind } of kinds.length ? kinds : await listKinds()) {
    for (const status of ENDS) {
      const { total, total_at_least: least } = await searchTasks({ kind, status, limit: 1, total: true });
      totals.set(`${kind}/${status}`, total === null ? `${count(least)}+` : count(total));
    }
  }
  showKinds();
}

async function pause(button, kind) {
  const { pending, running } = kinds.find(one => one.kind === kind);
  const text = `No task of this kind begins until it is resumed. ${count(pending)} are pending and will wait; ${count(running)} running ones go on.`;
  if (!await isSure({ title: `Pause ${kind}?`, text, yes: 'Pause' })) return;
  await change(button, () => pauseKind(kind), `${kind} is paused.`);
}

const resume = (button, kind) => change(button, () => resumeKind(kind), `${kind} is resumed.`);

async function change(button, work, words) {
  const isDone = await act(button, async () => {
    const state = await work();
    kinds = kinds.map(one => (one.kind === state.kind ? { ...one, ...state } : one));
  });
  button.disabled = !may.change;
  showKinds();
  if (isDone) showDone(words);
}

// ---- The parts of the service ----

function showParts({ status, retention, ...parts }) {
  const place = $('#parts');
  const shown = Object.entries({ service: status, ...parts }).flatMap(([part, state], number) => {
    const isFine = ['ok', 'ready'].includes(state);
    const words = document.createElement(isFine ? 'span' : 'b');
    words.textContent = `${part} ${state}`;
    return [number ? ' · ' : '', words];
  });
  const kept = Object.entries(retention ?? {}).map(([what, seconds]) => `${what} ${seconds === null ? 'forever' : lasting(seconds)}`);
  const isForever = Object.values(retention ?? {}).every(seconds => seconds === null);
  const next = [...shown, isForever ? ' · nothing is deleted by age' : ` · kept: ${kept.join(', ')}`];
  if (place.textContent !== next.map(part => part.textContent ?? part).join('')) place.replaceChildren(...next);
}

// ---- Failures ----

async function groupFailures() {
  const { tasks, next } = await searchTasks({ status: 'failed', limit: FAILURES });
  const groups = new Map();
  for (const { kind, error, finished } of tasks) {
    const key = `${kind}/${error?.code}`;
    const group = groups.get(key) ?? { key, kind, code: error?.code ?? '?', tasks: 0, newest: '', detail: '' };
    group.tasks += 1;
    if (finished > group.newest) [group.newest, group.detail] = [finished, error?.detail ?? ''];
    groups.set(key, group);
  }
  const sorted = [...groups.values()].sort((one, other) => other.tasks - one.tasks || (one.newest < other.newest ? 1 : -1));
  showRows($('#failures'), '#failure-row', sorted, ({ key }) => key, (row, { kind, code, tasks: number, newest, detail }) => {
    link($('a', row), listOf({ kind, status: 'failed', error_code: code }), code);
    set($('.kind', row), kind);
    set($('.tasks', row), count(number));
    showTime($('.newest time', row), newest);
    set($('.words bdi', row), oneLine(detail));
  });
  const all = next ? `The newest ${count(tasks.length)} failed tasks are grouped; there are more.` : `All ${count(tasks.length)} failed tasks that are kept.`;
  set($('#failures-words'), tasks.length ? all : 'No failed task is kept.');
}
