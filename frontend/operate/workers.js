// The worker processes: what each runs, for how long, and whether it takes more.

import { $, count, set } from '../dom.js';
import { oneLine } from '../text.js';
import { drain, listWorkers, undrain } from './calls.js';
import { follow, keep } from './live.js';
import { act, isSure, link, may, showDone, showRows } from './page.js';
import { between, lasting, now, showTime } from './times.js';

let workers = [];

/** Shows the view until the signal is aborted. */
export function show(signal) {
  follow({});
  keep(signal, 2, async () => {
    workers = await listWorkers();
    render();
  });
}

/** Returns the task of a worker that has run longest. */
const longestOf = ({ tasks }) => tasks.reduce((most, one) => (one.started && (!most || one.started < most.started) ? one : most), null);

/** A worker is late once half of its lease has passed without a heartbeat: they come several times within it. */
function stateOf({ seen, lease_until: until, draining }) {
  const [lease, silent] = [(Date.parse(until) - Date.parse(seen)) / 1000, between(seen)];
  if (now() > Date.parse(until)) return ['failed', 'lease over'];
  if (silent > lease / 2) return ['waiting', 'late'];
  return draining ? ['waiting', 'drains'] : ['succeeded', 'works'];
}

function summary() {
  if (!workers.length) return 'No worker has a lease: what is pending waits until one starts.';
  const running = workers.reduce((sum, one) => sum + one.running, 0);
  const slowest = workers.map(one => ({ ...one, longest: longestOf(one) })).filter(({ longest }) => longest)
    .reduce((most, one) => (!most || one.longest.started < most.longest.started ? one : most), null);
  const words = `${count(workers.length)} ${workers.length === 1 ? 'worker' : 'workers'}, ${count(running)} running ${running === 1 ? 'task' : 'tasks'}.`;
  return slowest ? `${words} The longest runs at ${oneLine(slowest.name)} for ${lasting(Math.floor(between(slowest.longest.started)))}.` : words;
}

function render() {
  set($('#workers-words'), summary());
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
    set($('.longest span', row), longest ? `for ${lasting(Math.floor(between(longest.started)))}` : '');
    set($('.state', row), words);
    const button = $('.drain', row);
    set(button, draining ? 'Undo the drain' : 'Drain …');
    button.ariaLabel = `${draining ? 'Undo the drain of' : 'Drain'} ${oneLine(name)}`;
    button.onclick = () => change(button, worker);
  });
}

async function change(button, { id, name, draining, running }) {
  const text = `It takes nothing more, finishes its ${count(running)} running ${running === 1 ? 'task' : 'tasks'} or hands them back, and its process ends, unless the API is part of it.`;
  if (!draining && !await isSure({ title: `Drain ${oneLine(name)}?`, text, yes: 'Drain' })) return;
  const isDone = await act(button, async () => {
    const state = await (draining ? undrain(id) : drain(id));
    workers = workers.map(one => (one.id === id ? { ...one, draining: state.draining } : one));
  });
  button.disabled = !may.change;
  render();
  if (isDone) showDone(draining ? `${oneLine(name)} takes tasks again.` : `${oneLine(name)} drains.`);
}
