// The tickets: what the page knows of each file, and its upload. How a ticket is shown is decided elsewhere.

import { follow } from './ticket.js';
import { Upload } from './upload.js';

/** Newest first; the files of one choice in their order. */
export const tickets = [];

/** The files handed in together, or while others were still on their way: the overall progress covers these. */
export let batch = [];

const listeners = [];
/** Calls `listener(ticket)` after a change of one; without a ticket after one of the list. */
export const onChange = listener => { listeners.push(listener); };
const changed = ticket => listeners.forEach(listener => listener(ticket));

class FileTicket extends Upload {
  kind = 'md5';
  failure = 'The task failed. Hand the file in again.';
  expected = '';

  constructor(fields) {
    super();
    Object.assign(this, fields);
  }

  follow() { return follow(this); }

  changed() { changed(this); }

  read({ result }) {
    return { md5: result?.md5, expected: this.expected || result?.expected || '' };
  }

  /** Whether the digest is the expected one; null while either is missing. */
  get matches() { return this.md5 && this.expected ? this.md5 === this.expected : null; }
}

/** Puts tickets on top of the list. */
function add(added) {
  tickets.unshift(...added);
  changed();
}

/** Hands in files, given as `{file, name}`. */
export function take(files) {
  if (batch.every(ticket => ticket.hasEnded)) batch = [];
  const added = files.map(({ file, name }) => new FileTicket({ file, name, size: file.size }));
  batch = batch.concat(added);
  add(added);
  added.forEach(ticket => ticket.begin());
}

/** Returns the ticket of a task that was looked up: from the list, or a new one outside of it. */
export function ticketOf(task) {
  const known = tickets.find(({ id }) => id === task.id);
  if (known) {
    known.update(task);
    return known;
  }
  const name = task.input?.filename || 'A file without a name';
  const ticket = new FileTicket({ name, size: task.input?.size, sent: 1, reported: task.finished ? task.status : null });
  ticket.update(task);
  ticket.follow();
  return ticket;
}

/** Stops following a ticket that was looked up, when it is closed. */
export function drop(ticket) {
  if (!tickets.includes(ticket)) ticket.isDropped = true;
}

/** Shows tickets of an earlier visit. */
export function restore(kept) {
  const restored = kept.map(fields => new FileTicket({ ...fields, sent: 1, reported: fields.status }));
  // Files chosen meanwhile are newer.
  tickets.push(...restored);
  changed();
  restored.forEach(ticket => ticket.follow());
}

/** Removes the ended tickets from the list, and returns a function that undoes this. */
export function clear() {
  const before = { tickets: [...tickets], batch };
  batch = batch.filter(ticket => !ticket.hasEnded);
  tickets.splice(0, tickets.length, ...tickets.filter(ticket => !ticket.hasEnded));
  changed();
  return () => {
    const known = new Set(before.tickets);
    const added = tickets.filter(ticket => !known.has(ticket));
    tickets.splice(0, tickets.length, ...added, ...before.tickets);
    batch = [...before.batch, ...batch.filter(ticket => !known.has(ticket))];
    changed();
  };
}
