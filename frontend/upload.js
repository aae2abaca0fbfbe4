// An upload: a ticket before its task exists. An upload that breaks off is retried under the same key.

import { Refusal, comeIn, newKey, pause, send, untilReachable } from './api.js';
import { Ticket, lanes } from './ticket.js';

/** A browser opens six connections to a host, for all its tabs. Four uploads and one stream leave one. */
const large = lanes(4);
/** Uploads of up to this many bytes take only a moment: they may use all six. */
const SMALL = 65_536;
const small = lanes(6);
/** Seconds in which the tickets of many uploads gather, to be followed together. */
const GATHER = 0.25;

const TRIES = 5;

/**
 * One `file`. Before its task exists, `status` may also be `waiting`, `sending`, `sent`, `refused`. A kind's class defines
 * how its task is followed (`follow`).
 */
export class Upload extends Ticket {
  key = newKey();
  status = 'waiting';
  /** The share of it that has arrived: 0 to 1. */
  sent = 0;

  get hasEnded() { return super.hasEnded || this.status === 'refused'; }

  /** Sends it, and follows the task. */
  async begin() {
    this.set({ status: 'waiting', error: '', note: '', sent: 0, canRetry: false });
    const uploads = this.file.size > SMALL ? large : small;
    await uploads(async () => {
      for (let tries = 1; this.status === 'waiting'; tries += 1) await this.attempt(tries);
    });
    if (this.isUnwanted) await this.cancel();
    if (uploads.waiting()) await pause(GATHER);
    if (this.id) await this.follow();
  }

  async attempt(tries) {
    try {
      const onProgress = sent => this.set({ sent, status: sent < 1 ? 'sending' : 'sent', note: '' });
      this.set({ status: 'sending' });
      const { task, abort } = send(this.kind, this.file, this.key, onProgress);
      this.abort = abort;
      this.update(await task);
      this.set({ file: null, abort: null, sent: 1 });
    } catch (error) {
      if (this.hasEnded) return;
      // It waits for the log-in in its lane: later uploads would need it too.
      if (await comeIn(error)) return this.hasEnded || this.set({ status: 'waiting', sent: 0, note: '' });
      if (!(await isReadable(this.file))) return this.refuse(new Error('The file can’t be read any more. Choose it again.'), false);
      const isRefused = error instanceof Refusal;
      if (tries === TRIES || (isRefused && !error.mayPass)) return this.refuse(error, !isRefused || error.mayPass);
      this.set({ status: 'waiting', sent: 0, note: isRefused ? `${error.message} Trying again …` : '' });
      if (isRefused) await pause(error.seconds ?? 2 ** tries / 2);
      else await untilReachable();
    }
  }

  refuse({ message }, canRetry) {
    this.set({ status: 'refused', error: message, note: '', canRetry });
  }

  async cancel() {
    if (this.hasEnded || this.id) return super.cancel();
    // Once everything is sent, the task may exist already; only its ticket identifies it.
    if (this.status === 'sent') return this.set({ isUnwanted: true, note: 'To be cancelled' });
    this.set({ status: 'cancelled', error: 'It was not sent.', note: '', canRetry: true });
    this.abort?.();
  }

  /** With the same key: had the first try arrived after all, this gives its ticket. */
  retry() {
    if (this.canRetry) this.begin();
  }
}

/** Returns whether the file can be read: a moved or changed file, or a folder, looks like a broken connection. */
async function isReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}
