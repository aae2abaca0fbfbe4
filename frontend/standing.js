// The free provider's state: asked for repeatedly while it is shown, and counted down in between.

import { Refusal, askFree, pause, untilReachable } from './api.js';
import { $, count, counted, set } from './dom.js';
import { report } from './news.js';

const PERIOD = 2; // Seconds.

const box = $('#free');

let state = null;
let remaining = 0;
/** Whether `remaining` is only an upper bound. */
let isAtMost = false;
/** When it opens, by the page's own clock, in milliseconds. */
let opensAt = 0;

/** Whether it accepts no message now. */
export const isBlocked = () => state === 'blocked';

/** Asks until the signal; calls `changed` when the state has changed. */
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
  // Not announced second by second: that would flood a screen reader.
  if (before) report($('#free-words').textContent, () => $('#free-words').textContent);
}

const secondsLeft = () => Math.max(0, (opensAt - performance.now()) / 1000);

function show() {
  if (!state) return;
  box.dataset.state = state;
  set($('#free-words'), sentence());
}

function sentence() {
  if (state === 'unknown') return 'The free provider’s state is unknown; the next message will show it.';
  if (state === 'blocked') return `The free provider is blocked. It opens in ${count(Math.ceil(secondsLeft()))} s.`;
  return `The free provider is open: ${isAtMost ? 'up to ' : ''}${counted(remaining, 'message')} until it blocks.`;
}
