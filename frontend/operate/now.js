// The view of the present: tasks by kind and status, the oldest waits, pauses, the parts of the service, and failures by code.

import { $, count, set } from '../dom.js';
import { oneLine } from '../text.js';
import { askParts, askStats, listKinds, pauseKind, resumeKind } from './calls.js';
import { showCharts } from './charts.js';
import { ADVICE } from './codes.js';
import { groupFailures } from './failures.js';
import { follow, keep } from './live.js';
import { act, isSure, link, showDone, showRows } from './page.js';
import { lasting, momentToday, now, showTime } from './times.js';

const ENDS = ['succeeded', 'failed', 'cancelled'];
/** The hours whose ended tasks are counted, in whole hours, with the one that is not over. */
const HOURS = 24;
const HOUR = 3600;
/** Seconds after which numbers are read again although nothing was heard of: retention deletes tasks. */
const AGE = 60;

/** The kinds as they were last listed. */
let kinds = [];
/** The numbers of ended tasks, by `kind/status`, and from when on they are counted. */
let totals = new Map();
let since = null;

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
  keep(signal, 3, ifChanged(() => changed.totals, () => { changed.totals = false; }, countEnded));
  keep(signal, 3, ifChanged(() => changed.failures, () => { changed.failures = false; }, () => showFailures(signal)));
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
  const total = totals.get(`${kind}/${status}`) ?? 0;
  const cell = $(`.${status}`, row);
  link($('a', cell), listOf({ kind, status, ...(since && { finished_after: since }) }), since ? count(total) : '–');
  if (total) cell.dataset.some = '';
  else delete cell.dataset.some;
}

/** Counts the tasks that have ended within the last hours, by the statistics: exactly, in one request. */
async function countEnded() {
  const from = new Date((Math.floor(now() / 1000 / HOUR) - HOURS + 1) * HOUR * 1000).toISOString();
  const { series } = await askStats({ from, step: HOUR });
  [totals, since] = [new Map(), from];
  for (const point of series) {
    for (const status of ENDS) totals.set(`${point.kind}/${status}`, (totals.get(`${point.kind}/${status}`) ?? 0) + point[status]);
  }
  set($('#ended-words'), `Succeeded, failed and cancelled: what ended since ${momentToday(from)}, also what was deleted since then.`);
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

async function showFailures(signal) {
  const { groups, number, hasMore } = await groupFailures(signal);
  showRows($('#failures'), '#failure-row', groups, ({ key }) => key, (row, { kind, code, tasks, newest, detail }) => {
    link($('a', row), listOf({ kind, status: 'failed', error_code: code }), code);
    $('a', row).title = Object.hasOwn(ADVICE, code) ? ADVICE[code] : '';
    set($('.kind', row), kind);
    set($('.tasks', row), count(tasks));
    showTime($('.newest time', row), newest);
    set($('.words bdi', row), oneLine(detail));
  });
  const all = number === 1 ? 'The one failed task that is kept.' : `All ${count(number)} failed tasks that are kept.`;
  const most = hasMore ? `The newest ${count(number)} failed tasks are grouped; there are more.` : all;
  set($('#failures-words'), number ? most : 'No failed task is kept.');
}
