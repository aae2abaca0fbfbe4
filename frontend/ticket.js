// A ticket: what a page knows of one task, and how the task is followed until it has ended. Nothing here is about how it
// looks, or about what sort of task it is.

import { Refusal, cancel, find, listTasks, pause, stream, untilReachable, words } from './api.js';

/** So many tickets have a stream each. More are looked at together: a browser opens six connections to a host, for all its tabs. */
const STREAMS = 1;
/** Seconds that a stream stays at most: another tab may need the connection too. */
const LONGEST_TURN = 20;
/** Seconds between two looks at many tickets: while some have changed, and at most. */
const [SHORTEST_REST, LONGEST_REST] = [0.25, 2];
/** Tasks of a page of the list at most. */
const PAGE = 1000;

/** However many are cancelled at once. */
const cancels = lanes(3);

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
  /** Whether it was taken off the page. */
  isDropped = false;
  /** What is said of a failed task that has no words for it. */
  failure = 'The task failed.';

  /** What is dropped is nobody's concern any more, as if it had ended. */
  get hasEnded() { return this.isDropped || ['succeeded', 'failed', 'cancelled'].includes(this.status); }

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
      this.update(await cancels(() => cancel(this.id)));
    } catch (error) {
      if (error.status !== 409) this.set({ note: `It can’t be cancelled now: ${words(error)}` });
    }
  }

  /** The server won't tell of it, and no later try would do better. */
  async giveUp(error) {
    this.set({ status: 'failed', error: error.message, note: '' });
  }
}

/** Those that are followed now. */
const followed = new Set();

/** Follows a task until it has ended, through restarts of the server. */
export async function follow(ticket) {
  followed.add(ticket);
  while (!ticket.hasEnded) await (followed.size > STREAMS ? together() : alone(ticket));
  followed.delete(ticket);
}

let streamsFailed = -Infinity;

/** Streams that don't work here (an old server, a proxy) are tried again a minute later. */
async function alone(ticket) {
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const isOver = told => ticket.hasEnded || followed.size > STREAMS || seconds() > (told ? LONGEST_TURN : 5);
  try {
    if (began - streamsFailed > 60_000) {
      const hasTold = await stream(ticket.id, task => ticket.update(task), isOver);
      if (!hasTold && followed.size <= STREAMS) {
        ticket.update(await find(ticket.id));
        streamsFailed = performance.now();
      }
    } else {
      ticket.update(await find(ticket.id, 5));
    }
    if (!ticket.hasEnded) await pause(0.2);
  } catch (error) {
    await recover(error, [ticket]);
  }
}

let look = null;
let rest = SHORTEST_REST;

/** One look at all that are followed, and a rest: whoever asks for another meanwhile gets this one. */
function together() {
  look ??= (async () => {
    const tickets = [...followed].filter(({ hasEnded }) => !hasEnded);
    const before = tickets.map(({ status }) => status);
    try {
      await lookThrough(tickets);
    } catch (error) {
      await recover(error, tickets);
    }
    const hasChanged = tickets.some(({ status }, at) => status !== before[at]);
    rest = hasChanged ? SHORTEST_REST : Math.min(rest * 2, LONGEST_REST);
    await pause(rest);
    look = null;
  })();
  return look;
}

/** Reads the list of tasks where these tickets are in it: a page has many of them, and none that has none is read. */
async function lookThrough(tickets) {
  let wanted = [...tickets].sort((one, other) => (one.id < other.id ? 1 : -1));
  while (wanted.length) {
    const { tasks, next } = await listTasks(successor(wanted[0].id), Math.min(wanted.length + 10, PAGE));
    const told = new Map(tasks.map(task => [task.id, task]));
    const passed = next ? wanted.filter(({ id }) => id >= next) : wanted;
    wanted = wanted.slice(passed.length);
    for (const ticket of passed) {
      const task = told.get(ticket.id);
      if (task) ticket.update(task);
      else await lookAt(ticket);
    }
  }
}

/** The list doesn't have it: why, the server says of it alone. */
async function lookAt(ticket) {
  try {
    ticket.update(await find(ticket.id));
  } catch (error) {
    if (!(error instanceof Refusal) || error.mayPass) throw error;
    await ticket.giveUp(error);
  }
}

/** Where a ticket leads: the page of its task's kind, null if there is none. */
export function addressOf({ kind, id }) {
  const path = { md5: '/', message: '/messages', table: '/tables' }[kind];
  return path ? `${path}?id=${id}` : null;
}

/** The id after this one, in the order of ids. */
function successor(id) {
  const digits = (BigInt(`0x${id.replaceAll('-', '')}`) + 1n).toString(16).padStart(32, '0');
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

async function recover(error, tickets) {
  if (!(error instanceof Refusal)) return untilReachable();
  if (!error.mayPass) {
    await Promise.all(tickets.map(ticket => ticket.giveUp(error)));
    return;
  }
  for (const ticket of tickets) ticket.set({ note: `${error.message} Trying again …` });
  await pause(Math.min(error.seconds ?? 2, 10));
}
