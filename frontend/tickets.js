// The tickets: what the page knows of each file, and what brings it forward. Nothing here is about how it looks.

import { Refusal, cancel, find, pause, send, stream, untilReachable } from './api.js';

/** A browser opens six connections to a host, for all its tabs. Two uploads and three that follow leave one. */
const uploads = lanes(2);
const follows = lanes(3);

/** Another tab may need the connection too. */
const LONGEST_TURN = 20;
const TRIES = 5;

/** Newest first; the files of one choice in their order. */
export const tickets = [];

/** The files handed in together, or while others still were on their way: what overall progress is about. */
export let batch = [];

const listeners = [];
/** Calls `listener(ticket)` after a change of one; without a ticket after one of the list. */
export const onChange = listener => { listeners.push(listener); };
const changed = ticket => listeners.forEach(listener => listener(ticket));

/** Runs at most `count` functions at a time, the others in their order. */
function lanes(count) {
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
 * One file. `status` is the task's, and before there is a task: `waiting`, `sending`, `sent`, `refused`.
 * `error` tells why it failed, `note` what holds it up, `sent` which part of it has arrived (0 to 1).
 */
export class Ticket {
  id = null;
  sent = 0;
  error = '';
  note = '';
  expected = '';

  constructor(fields) {
    Object.assign(this, fields);
  }

  get hasEnded() { return ['succeeded', 'failed', 'cancelled', 'refused'].includes(this.status); }

  set(fields) {
    Object.assign(this, fields);
    changed(this);
  }

  /** Takes over what the server says of the task. */
  update({ id, status, created, result, error }) {
    if (this.hasEnded) return;
    const fallback = { failed: 'The task failed. Hand the file in again.', cancelled: '' }[status];
    const expected = this.expected || result?.expected || '';
    const told = { id, status, created, md5: result?.md5, error: error?.detail || fallback || '', note: '', expected };
    if (Object.keys(told).some(field => told[field] !== this[field])) this.set(told);
  }

  /** Whether the digest is the expected one; null while either is missing. */
  get matches() { return this.md5 && this.expected ? this.md5 === this.expected : null; }

  async cancel() {
    if (this.hasEnded) return;
    if (!this.id) {
      // Once all is sent there may be a task already: only its ticket tells which.
      if (this.status === 'sent') return this.set({ isUnwanted: true, note: 'To be cancelled' });
      this.set({ status: 'cancelled', error: 'It was not sent.', note: '', canRetry: true });
      return this.abort?.();
    }
    try {
      this.update(await cancel(this.id));
    } catch (error) {
      if (error.status !== 409) this.set({ note: `It can’t be cancelled now: ${words(error)}` });
    }
  }

  /** With the same key: had the first try arrived after all, this gives its ticket. */
  retry() {
    if (this.canRetry) upload(this);
  }

  refuse(error, canRetry) {
    this.set({ status: 'refused', error, note: '', canRetry });
  }
}

/** Puts tickets on top of the list. */
function add(added) {
  tickets.unshift(...added);
  changed();
}

/** Hands in files, given as `{file, name}`. */
export function take(files) {
  if (batch.every(ticket => ticket.hasEnded)) batch = [];
  const added = files.map(({ file, name }) => new Ticket({ file, name, size: file.size, key: newKey(), status: 'waiting' }));
  batch = batch.concat(added);
  add(added);
  added.forEach(upload);
}

/** Shows what is known of tasks, each once, and follows those that have not ended. */
export function show(tasks) {
  const found = tasks.map(task => {
    const at = tickets.findIndex(({ id }) => id === task.id);
    const name = task.input?.filename || 'A file without a name';
    const ticket = at < 0 ? new Ticket({ name, size: task.input?.size, sent: 1 }) : tickets.splice(at, 1)[0];
    ticket.isKnown = at >= 0;
    ticket.update(task);
    return ticket;
  });
  add(found);
  found.filter(({ isKnown }) => !isKnown).forEach(follow);
}

/** Shows tickets of an earlier visit. */
export function restore(kept) {
  const restored = kept.map(fields => new Ticket({ ...fields, sent: 1, reported: fields.status }));
  add(restored);
  restored.forEach(follow);
}

/** Takes those off the list that have ended. */
export function clear() {
  batch = batch.filter(ticket => !ticket.hasEnded);
  tickets.splice(0, tickets.length, ...tickets.filter(ticket => !ticket.hasEnded));
  changed();
}

/** Not crypto.randomUUID: it is missing where the page comes over plain HTTP from another machine. */
const newKey = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), n => n.toString(16).padStart(8, '0')).join('');

const words = error => (error instanceof Refusal ? error.message : 'the server can’t be reached. Try again.');

async function upload(ticket) {
  ticket.set({ status: 'waiting', error: '', note: '', sent: 0, canRetry: false });
  await uploads(async () => {
    for (let tries = 1; ticket.status === 'waiting'; tries += 1) await tryUpload(ticket, tries);
  });
  if (ticket.isUnwanted) await ticket.cancel();
  if (ticket.id) await follow(ticket);
}

async function tryUpload(ticket, tries) {
  try {
    const { task, abort } = send(ticket.file, ticket.key, sent => ticket.set({ sent, status: sent < 1 ? 'sending' : 'sent', note: '' }));
    ticket.set({ status: 'sending', abort });
    ticket.update(await task);
    ticket.set({ file: null, abort: null, sent: 1 });
  } catch (error) {
    if (ticket.hasEnded) return;
    if (!(await isReadable(ticket.file))) return ticket.refuse('The file can’t be read any more. Choose it again.', false);
    const isRefused = error instanceof Refusal;
    if (tries === TRIES || (isRefused && !error.mayPass)) return ticket.refuse(error.message, !isRefused || error.mayPass);
    ticket.set({ status: 'waiting', sent: 0, note: isRefused ? `${error.message} Trying again …` : '' });
    // In its lane: those behind it would meet the same.
    if (isRefused) await pause(error.seconds ?? 2 ** tries / 2);
    else await untilReachable();
  }
}

/** A file that was moved, changed or is a folder looks like a broken connection. */
async function isReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

/** Follows a task until it has ended, through restarts of the server. With many, they take turns. */
async function follow(ticket) {
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
      if (await stream(ticket.id, update, told => seconds() > (told ? turnLength() : 5))) return;
      update(await find(ticket.id));
      streamsFailed = performance.now();
    } else {
      update(await find(ticket.id, Math.min(turnLength(), 5)));
    }
  } catch (error) {
    if (!(error instanceof Refusal)) return untilReachable();
    if (!error.mayPass) return ticket.set({ status: 'failed', error: error.message, note: '' });
    ticket.set({ note: `${error.message} Trying again …` });
    await pause(Math.min(error.seconds ?? 2, 10));
  }
}
