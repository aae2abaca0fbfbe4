// The tickets of earlier visits, kept in this browser. Without storage (denied or full) a page works too, and says so.

import { count } from './dom.js';

/** From this share of the limit on, the page shows how much is kept. */
const NEARLY = 0.8;

export class History {
  /** Whether the last write to the storage succeeded. */
  isKept = true;

  /** Keeps the newest `most` entries under a name, with these fields of each: required texts, and others. */
  constructor(name, { most = 500, needed, more }) {
    this.name = name;
    this.most = most;
    this.needed = needed;
    this.fields = [...needed, ...more];
  }

  /** Selects a user's list; null selects the shared one. */
  of(user) {
    if (user) this.name += `-${user}`;
    return this;
  }

  /** Returns the kept entries, newest first. */
  load() {
    try {
      const kept = JSON.parse(localStorage.getItem(this.name)) ?? [];
      return kept.filter(ticket => this.needed.every(field => typeof ticket[field] === 'string'));
    } catch {
      return [];
    }
  }

  /** Keeps these entries, and those that another tab has kept meanwhile. Ids are ordered by time. */
  save(tickets) {
    const mine = tickets.filter(({ id }) => id);
    const known = new Set(mine.map(({ id }) => id));
    const all = [...mine, ...this.load().filter(({ id }) => !known.has(id))];
    all.sort((one, other) => (one.id < other.id ? 1 : -1));
    try {
      localStorage.setItem(this.name, JSON.stringify(all.slice(0, this.most), this.fields));
      this.isKept = true;
    } catch {
      this.isKept = false; // The entries last as long as the page is open.
    }
  }

  /** Deletes all entries, and returns a function that undoes this. */
  clear() {
    try {
      const kept = localStorage.getItem(this.name);
      localStorage.removeItem(this.name);
      return () => { if (kept) localStorage.setItem(this.name, kept); };
    } catch {
      return () => { /* Nothing was kept. */ };
    }
  }

  /** Describes what a later visit will not find; '' while a list of that length is kept and more fits. */
  warning(length, things) {
    const most = count(this.most);
    if (!this.isKept) return `This browser keeps none of these ${things}: they are gone when you leave the page.`;
    if (length > this.most) {
      return `This browser keeps the newest ${most} ${things}. ${count(length - this.most)} of these will be gone from the list when you leave the page.`;
    }
    return length < NEARLY * this.most ? '' : `${count(length)} of at most ${most} ${things} are kept. When there are more, the oldest are dropped from the list.`;
  }
}
