// The tickets: what the page knows of each file, and what brings it forward. Nothing here is about how it looks.

import { Refusal, newKey, pause, send, untilReachable } from './api.js';
import { Ticket, follow, lanes } from './ticket.js';

/** A browser opens six connections to a host, for all its tabs. Two uploads and three that follow leave one. */
const uploads = lanes(2);

const TRIES = 5;

/** Newest first; the files of one choice in their order. */
export const tickets = [];

/** The files handed in together, or while others still were on their way: what overall progress is about. */
export let batch = [];

const listeners = [];
/** Calls `listener(ticket)` after a change of one; without a ticket after one of the list. */
export const onChange = listener => { listeners.push(listener); };
const changed = ticket => listeners.forEach(listener => listener(ticket));

/** One file. `status` may also be `waiting`, `sending`, `sent`, `refused`: before there is a task. */
class FileTicket extends Ticket {
  failure = 'The task failed. Hand the file in again.';
  /** Which part of it has arrived: 0 to 1. */
  sent = 0;
  expected = '';

  constructor(fields) {
    super();
    Object.assign(this, fields);
  }

  get hasEnded() { return super.hasEnded || this.status === 'refused'; }

  changed() { changed(this); }

  read({ result }) {
    return { md5: result?.md5, expected: this.expected || result?.expected || '' };
  }

  /** Whether the digest is the expected one; null while either is missing. */
  get matches() { return this.md5 && this.expected ? this.md5 === this.expected : null; }

  async cancel() {
    if (this.hasEnded || this.id) return super.cancel();
    // Once all is sent there may be a task already: only its ticket tells which.
    if (this.status === 'sent') return this.set({ isUnwanted: true, note: 'To be cancelled' });
    this.set({ status: 'cancelled', error: 'It was not sent.', note: '', canRetry: true });
    this.abort?.();
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
  const added = files.map(({ file, name }) => new FileTicket({ file, name, size: file.size, key: newKey(), status: 'waiting' }));
  batch = batch.concat(added);
  add(added);
  added.forEach(upload);
}

/** Shows what is known of tasks, each once, and follows those that have not ended. */
export function show(tasks) {
  const found = tasks.map(task => {
    const at = tickets.findIndex(({ id }) => id === task.id);
    const name = task.input?.filename || 'A file without a name';
    const ticket = at < 0 ? new FileTicket({ name, size: task.input?.size, sent: 1 }) : tickets.splice(at, 1)[0];
    ticket.isKnown = at >= 0;
    ticket.update(task);
    return ticket;
  });
  add(found);
  found.filter(({ isKnown }) => !isKnown).forEach(follow);
}

/** Shows tickets of an earlier visit. */
export function restore(kept) {
  const restored = kept.map(fields => new FileTicket({ ...fields, sent: 1, reported: fields.status }));
  add(restored);
  restored.forEach(follow);
}

/** Takes those off the list that have ended. */
export function clear() {
  batch = batch.filter(ticket => !ticket.hasEnded);
  tickets.splice(0, tickets.length, ...tickets.filter(ticket => !ticket.hasEnded));
  changed();
}

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
