// A ticket: what a page knows of one task, and how the task is followed until it has ended. Nothing here is about how it
// looks, or about what sort of task it is.

import { Refusal, cancel, find, pause, stream, untilReachable, words } from './api.js';

/** Of the six connections that a browser opens to a host. */
const follows = lanes(3);

/** Another tab may need the connection too. */
const LONGEST_TURN = 20;

/** Runs at most `count` functions at a time, the others in their order. */
export function lanes(count) {
  const queue = [];
  const run = async work => {
    if (count > 0) count -= 1;
    else await new Promise(start => queue.push(start));
    return work().finally(() => {
      if (queue.length) queue.shift()();
      else count += 1;
    });
  };
  return Object.assign(run, { waiting: () => queue.length });
}

/**
 * One task. `status` is the task's, `error` tells why it failed, `note` what holds it up. A kind's own class says what it
 * reads of a task (`read`), and who is told of a change (`changed`).
 */
export class Ticket {
  id = null;
  error = '';
  note = '';
  /** Whether it waits for another try. */
  isHeldUp = false;
  /** What is said of a failed task that has no words for it. */
  failure = 'The task failed.';

  get hasEnded() { return ['succeeded', 'failed', 'cancelled'].includes(this.status); }

  set(fields) {
    Object.assign(this, fields);
    this.changed();
  }

  /** Takes over what the server says of the task. */
  update(task) {
    if (this.hasEnded) return;
    const { id, status, created, error, next_attempt: next } = task;
    const fallback = { failed: this.failure, cancelled: '' }[status];
    // What it waits for is no failure of it.
    const [why, note] = next ? ['', `${error.detail} Next try at ${new Date(next).toLocaleTimeString()}.`] : [error?.detail, ''];
    const told = { id, status, created, error: why || fallback || '', note, isHeldUp: !!next, ...this.read(task) };
    if (Object.keys(told).some(field => told[field] !== this[field])) this.set(told);
  }

  async cancel() {
    if (this.hasEnded) return;
    try {
      this.update(await cancel(this.id));
    } catch (error) {
      if (error.status !== 409) this.set({ note: `It can’t be cancelled now: ${words(error)}` });
    }
  }

  /** The server won't tell of it, and no later try would do better. */
  async giveUp(error) {
    this.set({ status: 'failed', error: error.message, note: '' });
  }
}

/** Follows a task until it has ended, through restarts of the server. With many, they take turns. */
export async function follow(ticket) {
  while (!ticket.hasEnded) {
    await follows(() => turn(ticket));
    if (!ticket.hasEnded) await pause(0.2);
  }
}

/** Seconds: the more stand in line, the shorter. */
const turnLength = () => Math.min(LONGEST_TURN, Math.max(0.2, 10 / follows.waiting()));

let streamsFailed = -Infinity;

/** Streams that don't work here (an old server, a proxy) are tried again a minute later. */
async function turn(ticket) {
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const update = task => ticket.update(task);
  try {
    if (began - streamsFailed > 60_000) {
      if (await stream(ticket.id, update, told => ticket.hasEnded || seconds() > (told ? turnLength() : 5))) return;
      update(await find(ticket.id));
      streamsFailed = performance.now();
    } else {
      update(await find(ticket.id, Math.min(turnLength(), 5)));
    }
  } catch (error) {
    if (!(error instanceof Refusal)) return untilReachable();
    if (!error.mayPass) return ticket.giveUp(error);
    ticket.set({ note: `${error.message} Trying again …` });
    await pause(Math.min(error.seconds ?? 2, 10));
  }
}
