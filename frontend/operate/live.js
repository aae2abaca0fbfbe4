// Keeps the page current: follows the feed of outcomes, and repeats requests. Rests while the tab is hidden.

import { API, Refusal, comeIn, pause, untilReachable } from '../api.js';
import { $, plain, set } from '../dom.js';

/** Milliseconds in which outcomes are gathered before they are shown. */
const PERIOD = 400;
/** The most outcomes that are shown one by one; of more in a period the page reads its view again. */
const MOST = 2000;
/** Seconds over which the rate is averaged. */
const SPAN = 10;
/** The longest pause in seconds before the feed is asked for again. */
const LONGEST = 30;

/** Ends the feed that is read now. */
let feed = null;
let wait = 1;
let gathered = [];
let missed = 0;
let timer = null;
/** `{at, count}` of the last seconds. */
let counts = [];
let begun = 0;
/** `{outcomes(batch), again()}` of the view. */
let view = {};

/** Follows the feed: calls `outcomes(batch)` a few times a second at most, and `again()` when anything may have changed. */
export function follow(reactions) { view = reactions; }

/** Lets the view read again what it shows. */
export const again = () => view.again?.();

/** Shows how the page is connected. */
export function told(state, words) {
  $('#live').dataset.state = state;
  set($('#live-words'), words);
  if (state !== 'on') set($('#rate'), '');
}

/** Follows the feed from now on, unless it is followed; connects again when it breaks off. */
export async function open() {
  if (feed || document.hidden) return;
  const { signal } = feed = new AbortController();
  while (!signal.aborted) {
    try {
      await read(signal);
    } catch (error) {
      if (signal.aborted) return;
      told('off', 'Reconnecting …');
      if (!(error instanceof Refusal)) await untilReachable();
      else await comeIn(error);
    }
    told('off', 'Reconnecting …');
    await pause(wait);
    wait = Math.min(wait * 2, LONGEST);
  }
}

// Not an EventSource: that makes an event of each outcome, and of ten thousand in a second a page without a free moment.
async function read(signal) {
  const response = await fetch(`${API}/outcomes/events?after=now`, { cache: 'no-store', signal });
  if (!response.ok) throw new Refusal(response.status, await response.text(), response.headers.get('Retry-After'));
  [wait, counts, begun] = [1, [], performance.now()];
  told('on', 'Live');
  again();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ''; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const line of lines) if (line.startsWith('data:')) take(line.slice('data:'.length));
  }
}

function take(data) {
  if (gathered.length < MOST) gathered.push(data);
  else missed += 1;
  timer ??= setTimeout(flush, PERIOD);
}

function close() {
  feed?.abort();
  feed = null;
  told('paused', 'Paused');
}

function flush() {
  timer = null;
  const batch = gathered.map(data => JSON.parse(data));
  counts.push({ at: performance.now(), count: batch.length + missed });
  if (missed) again();
  else view.outcomes?.(batch);
  [gathered, missed] = [[], 0];
}

function showRate() {
  if ($('#live').dataset.state !== 'on') return;
  const at = performance.now();
  counts = counts.filter(one => at - one.at < SPAN * 1000);
  const seconds = Math.min(SPAN, Math.max(1, (at - begun) / 1000));
  const rate = counts.reduce((sum, one) => sum + one.count, 0) / seconds;
  set($('#rate'), `· ${rate.toLocaleString('en', { maximumFractionDigits: rate < 10 ? 1 : 0 })} ended/s`);
}
setInterval(showRate, 1000);

document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()));

/** Waits until the tab is visible. */
export const visible = () => document.hidden && new Promise(done => document.addEventListener('visibilitychange', done, { once: true }));

/**
 * Repeats a step while the signal is not aborted and the tab is visible; waits while the server is away. A step that takes long is
 * repeated less often. `refuse(error)` shows an error that will not pass, and ends the repeating.
 */
export async function keep(signal, seconds, step, refuse = ({ message }) => set($('#trouble'), plain(message))) {
  while (!signal.aborted) {
    await visible();
    const began = performance.now();
    let rest;
    try {
      await step();
      rest = Math.max(seconds, (performance.now() - began) / 100);
      if (signal.aborted) return;
      set($('#trouble'), '');
    } catch (error) {
      if (signal.aborted) return;
      // Whether the connection stands, the feed alone says: a refusal came over one.
      if (!(error instanceof Refusal)) await untilReachable();
      else if (!error.mayPass) return refuse(error);
      else set($('#trouble'), plain(error.message));
      rest = error.seconds ?? 1;
    }
    await pause(rest);
  }
}
