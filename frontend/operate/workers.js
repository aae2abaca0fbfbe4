// The worker processes: what each runs, for how long, and whether it takes more.

import { $, count, counted, set } from '../dom.js';
import { oneLine } from '../text.js';
import { drain, listWorkers, undrain } from './calls.js';
import { follow, keep } from './live.js';
import { act, isDoneShown, isSure, link, showDone, showRows } from './page.js';
import { between, lasting, lastingSoFar, now, showTime } from './times.js';

/** A worker's heartbeats are due each third of its lease. */
const THIRD = 3;

let workers = [];
/** The drain that the notice tells of: the worker's id and name, and the notice's number. */
let drained = null;

/** Shows the view until the signal is aborted. */
export function show(signal) {
  follow({});
  keep(signal, 2, async () => {
    workers = await listWorkers();
    followDrain();
    render();
  });
}

/** Returns the task of a worker that has run longest. */
const longestOf = ({ tasks }) => tasks.reduce((most, one) => (one.started && (!most || one.started < most.started) ? one : most), null);

const leaseOf = ({ seen, lease_until: until }) => (Date.parse(until) - Date.parse(seen)) / 1000;

/** A worker is late once half of its lease has passed without a heartbeat: one and a half times the time between two. */
function stateOf(worker) {
  const { seen, lease_until: until, draining } = worker;
  if (now() > Date.parse(until)) return ['failed', 'lease over'];
  if (between(seen) > leaseOf(worker) / 2) return ['waiting', `late by ${lastingSoFar(between(seen) - leaseOf(worker) / THIRD)}`];
  return draining ? ['waiting', 'drains'] : ['succeeded', 'works'];
}

/** Tells the end of the worker that was drained here. */
function followDrain() {
  if (!drained || !isDoneShown(drained.notice)) return;
  const worker = workers.find(({ id }) => id === drained.id);
  if (!worker) {
    showDone(`${drained.name} has ended.`);
    drained = null;
  } else if (!worker.running && worker.draining && !drained.isIdle) {
    drained = { ...drained, isIdle: true, notice: showDone(`${drained.name} drains, and runs nothing more.`) };
  }
}

function note() {
  const [first] = workers;
  const due = first ? ` A heartbeat is due every ${lasting(leaseOf(first) / THIRD)}, a third of LEASE_SECONDS; a worker learns of a drain by it.` : '';
  return `The table has what runs at this moment, and small uploads, which are done in passing, are not in it.${due}`;
}

function summary() {
  if (!workers.length) return 'No worker has a lease: what is pending waits until one starts.';
  const running = workers.reduce((sum, one) => sum + one.running, 0);
  const slowest = workers.map(one => ({ ...one, longest: longestOf(one) })).filter(({ longest }) => longest)
    .reduce((most, one) => (!most || one.longest.started < most.longest.started ? one : most), null);
  const words = `${counted(workers.length, 'worker')}, ${counted(running, 'running task')}.`;
  return slowest ? `${words} The longest runs at ${oneLine(slowest.name)} for ${lastingSoFar(between(slowest.longest.started))}.` : words;
}

function render() {
  set($('#workers-words'), summary());
  set($('#workers-note'), note());
  showRows($('#worker-list'), '#worker-row', workers, ({ id }) => id, (row, worker) => {
    const { id, name, seen, draining, running } = worker;
    const longest = longestOf(worker);
    const [state, words] = stateOf(worker);
    row.dataset.state = state;
    link($('.entry', row), `#tasks?worker=${id}`, oneLine(name));
    $('.entry', row).title = id;
    showTime($('time', row), seen);
    set($('.running', row), count(running));
    link($('.longest a', row), longest && `#task/${longest.id}`, longest?.kind ?? '');
    set($('.longest span', row), longest ? `for ${lastingSoFar(between(longest.started))}` : '');
    set($('.state', row), words);
    const button = $('.drain', row);
    set(button, draining ? 'Undo the drain' : 'Drain …');
    button.ariaLabel = `${draining ? 'Undo the drain of' : 'Drain'} ${oneLine(name)}`;
    button.onclick = () => change(button, worker);
  });
}

async function change(button, { id, name, draining, running }) {
  const others = workers.filter(one => one.id !== id && !one.draining).length;
  const last = others ? '' : ' It is the last worker that takes tasks: without it all that is pending waits until another one starts.';
  const text = `It takes nothing more, finishes its ${counted(running, 'running task')} or hands them back, and its process ends, unless the API is part of it.${last}`;
  if (!draining && !await isSure({ title: `Drain ${oneLine(name)}?`, text, yes: 'Drain' })) return;
  const isDone = await act(button, async () => {
    const state = await (draining ? undrain(id) : drain(id));
    workers = workers.map(one => (one.id === id ? { ...one, draining: state.draining } : one));
  });
  render();
  if (!isDone) return;
  const notice = showDone(draining ? `${oneLine(name)} takes tasks again.` : `${oneLine(name)} drains.`);
  drained = draining ? null : { id, name: oneLine(name), notice };
}
