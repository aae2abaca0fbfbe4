// The tickets of earlier visits, kept in this browser. Without storage (it may be refused, or full) a page works as well, and says so.

import { count } from './dom.js';

/** From this share of what can be kept on, it is said how much that is. */
const NEARLY = 0.8;

export class History {
  /** Whether what was to be kept last is kept. */
  isKept = true;

  /** Keeps the newest `most` under a name, with those fields of each: texts that it must have, and others. */
  constructor(name, { most = 500, needed, more }) {
    this.name = name;
    this.most = most;
    this.needed = needed;
    this.fields = [...needed, ...more];
  }

  /** Has the list be a user's own; null for the one that is whoever's. */
  of(user) {
    if (user) this.name += `-${user}`;
    return this;
  }

  /** Returns what was kept, newest first. */
  load() {
    try {
      const kept = JSON.parse(localStorage.getItem(this.name)) ?? [];
      return kept.filter(ticket => this.needed.every(field => typeof ticket[field] === 'string'));
    } catch {
      return [];
    }
  }

  /** Keeps these, and those that another tab has kept meanwhile. Ids are in the order of time. */
  save(tickets) {
    const mine = tickets.filter(({ id }) => id);
    const known = new Set(mine.map(({ id }) => id));
    const all = [...mine, ...this.load().filter(({ id }) => !known.has(id))];
    all.sort((one, other) => (one.id < other.id ? 1 : -1));
    try {
      localStorage.setItem(this.name, JSON.stringify(all.slice(0, this.most), this.fields));
      this.isKept = true;
    } catch {
      this.isKept = false; // They last as long as the page is open.
    }
  }

  /** Forgets all, and returns a function that undoes this. */
  clear() {
    try {
      const kept = localStorage.getItem(this.name);
      localStorage.removeItem(this.name);
      return () => { if (kept) localStorage.setItem(this.name, kept); };
    } catch {
      return () => { /* Nothing was kept. */ };
    }
  }

  /** Says what a visit from now on will not find, or '' while all of a list of that length is kept and more fits. */
  warning(length, things) {
    const most = count(this.most);
    if (!this.isKept) return `This browser keeps none of these ${things}: they are gone when you leave the page.`;
    if (length > this.most) {
      return `This browser keeps the newest ${most} ${things}. ${count(length - this.most)} of these will be gone from the list when you leave the page.`;
    }
    return length < NEARLY * this.most ? '' : `${count(length)} of at most ${most} ${things} are kept. When there are more, the oldest are dropped from the list.`;
  }
}
