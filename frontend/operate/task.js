// One task: what it is, how it went, its attempts and retries, and what may be done with it.

import { cancel, find } from '../api.js';
import { $, bytes, copy, count, plain, set } from '../dom.js';
import { oneLine, visible } from '../text.js';
import { addressOf } from '../ticket.js';
import { listAttempts, listKinds, listWorkers, purgeTask, retryTask } from './calls.js';
import { ADVICE } from './codes.js';
import { filterInWords } from './filters.js';
import { follow, keep } from './live.js';
import { act, applyRights, isSure, leave, link, may, showDone, showRows } from './page.js';
import { addressOfList, lengthsOf, nameOf, outcomeOf, stateOf } from './tasks.js';
import { between, lasting, moment, momentToday, showTime } from './times.js';

/** Seconds after which an ended task is read again: it may be deleted. */
const AGE = 30;

let task = null;
/** The facts that are shown, to be made anew only when they change. */
let facts = '';
/** Since when its kind is paused; null if it isn't, or the task has ended. */
let paused = null;
/** The tasks that do it again, newest first. */
let retries = [];
/** The names of the workers that have a lease, by their ids. */
let workers = new Map();

/** Shows the task with that id, until the signal is aborted. */
export function show(signal, _, id) {
  if (task?.id !== id) [task, facts, retries, $('#one').hidden] = [null, '', [], true];
  set($('#task-title bdi'), task ? nameOf(task) : id);
  set($('#task-error'), '');
  $('#back').href = addressOfList();
  let [isStale, read] = [true, -Infinity];
  follow({ outcomes: batch => { isStale ||= batch.some(one => one.id === id); }, again: () => { isStale = true; } });
  keep(signal, 1, async () => {
    if (task?.finished && !isStale && performance.now() - read < AGE * 1000) return;
    const [now, tries] = [await find(encodeURIComponent(id)), await listAttempts(encodeURIComponent(id), signal)];
    const kind = now.status === 'pending' && (await listKinds()).find(one => one.kind === now.kind);
    if (tries.attempts.some(({ worker }) => worker)) workers = new Map((await listWorkers()).map(one => [one.id, one.name]));
    signal.throwIfAborted();
    // The retries that go on change without an end of this task.
    [task, paused, retries, read] = [now, kind?.since ?? null, tries.retries, performance.now()];
    // A retry that goes on is shown as it ends.
    isStale = retries.some(({ finished }) => !finished);
    render(tries.attempts);
  }, error => {
    [task, $('#one').hidden] = [null, true];
    set($('#task-error'), plain(error.message));
    showActs();
  });
  showActs();
}

function showActs() {
  $('#retry').hidden = !task?.finished;
  $('#purge').hidden = !task?.finished;
  $('#cancel').hidden = !task || task.finished !== null;
}

function render(attempts) {
  const { status, error, next_attempt: next } = task;
  $('#one').hidden = false;
  $('#one').dataset.state = stateOf(task);
  set($('#task-title bdi'), nameOf(task));
  set($('#one .state'), status);
  set($('#standing-words'), standing());
  $('#error').hidden = !error;
  $('#error').dataset.state = stateOf(task);
  set($('#error code'), error?.code ?? '');
  set($('#error span'), error ? error.detail : '');
  set($('#advice'), status === 'failed' && Object.hasOwn(ADVICE, error?.code) ? ADVICE[error.code] : '');
  showFacts(next);
  showAttempts(attempts);
  set($('#json'), visible(JSON.stringify(task, null, 2)));
  showActs();
  applyRights();
}

function standing() {
  const { waited, worked } = lengthsOf(task);
  const isOver = task.finished !== null;
  const words = [waited && `${worked || isOver ? 'waited' : 'waits for'} ${waited}`, worked && `${isOver ? 'worked' : 'works for'} ${worked}`];
  if (paused) words.push(`waits: ${task.kind} is paused since ${momentToday(paused)}`);
  return words.filter(Boolean).map(one => `· ${one}`).join(' ');
}

// ---- Facts ----

const text = words => [document.createTextNode(visible(words))];

function time(at, form) {
  const element = document.createElement('time');
  showTime(element, at, form);
  // A narrow screen may break it before the T, and nowhere else.
  const [day, clock] = at.split(/(?=T)/).map(part => {
    const exact = document.createElement('span');
    [exact.className, exact.textContent] = ['exact', part];
    return exact;
  });
  return [element, ' ', day, document.createElement('wbr'), clock];
}

function linked(href, words) {
  const element = document.createElement('a');
  link(element, href, words);
  return element;
}

function ticket(id) {
  const [code, button] = [document.createElement('code'), document.createElement('button')];
  code.textContent = id;
  [button.type, button.className, button.textContent, button.ariaLabel] = ['button', 'copy', 'Copy', 'Copy the ticket'];
  button.onclick = () => copy(code, button);
  return [code, ' ', button];
}

/** Names the retries, the newest first, each with what came of it. */
const again = () => retries.flatMap(({ id, status }, place) => [place ? ', ' : '', linked(`#task/${id}`, id), ` (${status})`]);

function showFacts(next) {
  const { id, kind, created, started, finished, input, result, retried_from: from } = task;
  const page = addressOf(task);
  const all = {
    Ticket: () => ticket(id),
    Kind: () => text(kind),
    Created: () => time(created),
    Began: started && (() => time(started)),
    Ended: finished && (() => time(finished)),
    'Next attempt': next && !paused && (() => time(next, 'in')),
    File: input?.filename && (() => text(oneLine(input.filename))),
    Text: input?.text && (() => text(input.text)),
    Size: input?.size !== undefined && input.size !== null && (() => text(`${bytes(input.size)} (${count(input.size)})`)),
    Type: input?.content_type && (() => text(oneLine(input.content_type))),
    Changes: input?.action && (() => text(`${input.action}: ${filterInWords(input.filter)}, created before ${moment(input.counted)}`)),
    Outcome: result && (() => text(outcomeOf(task))),
    'Retry of': from && (() => [linked(`#task/${from}`, from)]),
    'Retried as': retries.length > 0 && again,
    'See also': () => [linked(`#tasks?${new URLSearchParams({ kind, ...(task.error && finished && task.status === 'failed' && { status: 'failed', error_code: task.error.code }) })}`,
      task.status === 'failed' ? 'Tasks that failed like this' : `All of kind ${kind}`)],
    Page: page && (() => [linked(page, 'The task as its user sees it')]),
  };
  const signature = JSON.stringify([task.status, started, finished, next, result, id, paused, retries]);
  if (signature === facts) return;
  facts = signature;
  $('#one .facts').replaceChildren(...Object.entries(all).filter(([, make]) => make).flatMap(([name, make]) => {
    const [term, value] = [document.createElement('dt'), document.createElement('dd')];
    term.textContent = name;
    value.append(...make());
    return [term, value];
  }));
}

function showAttempts(attempts) {
  $('#no-attempts').hidden = attempts.length > 0;
  showRows($('#attempts'), '#attempt-row', attempts, ({ number }) => number, (row, { number, worker, started, ended, error }) => {
    set($('th', row), count(number));
    showTime($('time', row), started);
    set($('.took', row), started ? lasting(between(started, ended)) : '');
    link($('.by a', row), worker && `#tasks?worker=${worker}`, oneLine(workers.get(worker) ?? worker ?? ''));
    $('.by a', row).title = worker ?? '';
    set($('code', row), error?.code ?? '');
    set($('.error-words span', row), error?.detail ?? (ended && !error ? 'succeeded' : 'running'));
  });
}

// ---- Acts ----

const place = $('#task-error');

async function retry({ target }) {
  const other = retries.find(({ status, finished }) => status === 'succeeded' || !finished);
  const text = `It was retried already, and that task ${other?.finished ? 'has succeeded' : `is ${other?.status}`}. If you go on, the work is done once more.`;
  if (other && !await isSure({ title: `Retry ${nameOf(task)} again?`, text, yes: 'Retry again' })) return;
  await act(target, async () => {
    const { id } = await retryTask(task.id);
    leave(`#task/${id}`, 'It is done again, as this new task.');
  }, place);
}

async function stop({ target }) {
  const sure = await isSure({ title: `Cancel ${nameOf(task)}?`, text: 'It ends as cancelled. It can be retried later.', yes: 'Cancel the task', harm: true });
  if (sure) await act(target, async () => { await cancel(task.id); showDone('The task is cancelled, or will be in a moment.'); }, place);
}

async function forget({ target }) {
  const sure = await isSure({ title: `Delete ${nameOf(task)}?`, text: 'The task is forgotten, with its result. This can’t be undone.', yes: 'Delete the task', harm: true });
  if (!sure) return;
  await act(target, async () => {
    await purgeTask(task.id);
    leave('#tasks', 'The task is deleted.');
  }, place);
}

/** Sets the view up, once. */
export function begin() {
  for (const [id, work] of Object.entries({ '#retry': retry, '#cancel': stop, '#purge': forget })) {
    const button = $(id);
    button.dataset.change = '';
    button.onclick = work;
    button.disabled = !may.change;
  }
}
