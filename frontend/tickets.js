// The tickets: what the page knows of each file, and what brings it forward. Nothing here is about how it looks.

import { follow } from './ticket.js';
import { Upload } from './upload.js';

/** Newest first; the files of one choice in their order. */
export const tickets = [];

/** The files handed in together, or while others still were on their way: what overall progress is about. */
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
  found.filter(({ isKnown }) => !isKnown).forEach(ticket => ticket.follow());
}

/** Shows tickets of an earlier visit. */
export function restore(kept) {
  const restored = kept.map(fields => new FileTicket({ ...fields, sent: 1, reported: fields.status }));
  add(restored);
  restored.forEach(ticket => ticket.follow());
}

/** Takes those off the list that have ended. */
export function clear() {
  batch = batch.filter(ticket => !ticket.hasEnded);
  tickets.splice(0, tickets.length, ...tickets.filter(ticket => !ticket.hasEnded));
  changed();
}
