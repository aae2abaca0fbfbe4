// Where the free provider stands: asked for again and again while it is looked at, and counted down in between.

import { Refusal, askFree, pause, untilReachable } from './api.js';
import { $, count, set } from './dom.js';
import { report } from './news.js';

const PERIOD = 2; // Seconds.

const box = $('#free');

let state = null;
let remaining = 0;
/** Whether there may be fewer. */
let isAtMost = false;
/** When it opens, by the page's own clock, in milliseconds. */
let opensAt = 0;

/** Whether it takes nothing now. */
export const isBlocked = () => state === 'blocked';

/** Looks until the signal; `changed` is called when the state is another. */
export async function watch(signal, changed) {
  const clock = setInterval(show, 250);
  signal.addEventListener('abort', () => clearInterval(clock));
  while (!signal.aborted) {
    try {
      const free = await askFree();
      if (signal.aborted) return;
      take(free, changed);
    } catch (error) {
      if (!(error instanceof Refusal)) await untilReachable();
    }
    await pause(isBlocked() ? Math.min(PERIOD, secondsLeft() + 0.1) : PERIOD);
    if (document.hidden) await new Promise(done => document.addEventListener('visibilitychange', done, { once: true }));
  }
}

function take(free, changed) {
  const before = state;
  state = free.state;
  remaining = free.remaining;
  isAtMost = free.is_at_most;
  opensAt = performance.now() + 1000 * (free.opens_in ?? 0);
  show();
  if (state === before) return;
  changed();
  // The seconds are for the eye alone: told one by one, they would be a flood.
  if (before) report($('#free-words').textContent, () => $('#free-words').textContent);
}

const secondsLeft = () => Math.max(0, (opensAt - performance.now()) / 1000);

function show() {
  if (!state) return;
  box.dataset.state = state;
  set($('#free-words'), sentence());
}

function sentence() {
  if (state === 'unknown') return 'Where the free provider stands is found out with the next message.';
  if (state === 'blocked') return `The free provider is blocked. It opens in ${count(Math.ceil(secondsLeft()))} s.`;
  return `The free provider is open: ${isAtMost ? 'up to ' : ''}${count(remaining)} ${remaining === 1 ? 'message' : 'messages'} until it blocks.`;
}
