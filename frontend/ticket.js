// A ticket: what a page knows of one task, and how the task is followed until it has ended. How a ticket is shown, and what kind of
// task it belongs to, is decided elsewhere.

import { Refusal, cancel, find, listTasks, pause, stream, untilReachable, words } from './api.js';

/** The most tickets with a stream each. More are polled together: a browser opens six connections to a host, for all its tabs. */
const STREAMS = 1;
/** The longest life of a stream in seconds: another tab may need the connection too. */
const LONGEST_TURN = 20;
/** Seconds between two polls of many tickets: while some change, and at most. */
const [SHORTEST_REST, LONGEST_REST] = [0.25, 2];
/** The most tasks of a page of the list. */
const PAGE = 1000;

/** Limits how many requests to cancel run at once. */
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
 * One task. `status` is the task's, `error` says why it failed, `note` why it is delayed. A kind's own class says which fields it
 * reads of a task (`read`), and which listeners learn of a change (`changed`).
 */
export class Ticket {
  id = null;
  error = '';
  note = '';
  /** Whether it waits for a retry. */
  isHeldUp = false;
  /** Whether it was taken off the page. */
  isDropped = false;
  /** The error of a failed task without a message of its own. */
  failure = 'The task failed.';

  /** A dropped ticket counts as ended: it is not followed any more. */
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
    // A reason to wait is not a failure.
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

  /** Shows the server's error for the task, which a retry would not change. */
  async giveUp(error) {
    this.set({ status: 'failed', error: error.message, note: '' });
  }
}

/** The tickets that are followed now. */
const followed = new Set();

/** Follows a task until it has ended, through restarts of the server. */
export async function follow(ticket) {
  followed.add(ticket);
  while (!ticket.hasEnded) await (followed.size > STREAMS ? together() : alone(ticket));
  followed.delete(ticket);
}

let streamsFailed = -Infinity;

/** If streams don't work here (an old server, a proxy), they are tried again a minute later. */
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

/** Polls all followed tickets once, then rests: calls in the meantime get the same poll. */
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

/** Reads those pages of the list of tasks that contain these tickets. */
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

/** Reads a single task that the list lacks, to learn why. */
async function lookAt(ticket) {
  try {
    ticket.update(await find(ticket.id));
  } catch (error) {
    if (!(error instanceof Refusal) || error.mayPass) throw error;
    await ticket.giveUp(error);
  }
}

/** Returns the address of a ticket: the page of its task's kind, null for an unknown kind. */
export function addressOf({ kind, id }) {
  const path = { md5: '/', message: '/messages', table: '/tables' }[kind];
  return path ? `${path}?id=${id}` : null;
}

/** Returns the id after this one, in the order of ids. */
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
