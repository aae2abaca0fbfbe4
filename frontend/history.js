// The tickets of earlier visits, kept in this browser. Without storage (it may be refused, or full) a page works as well.

/** The newest so many are kept. */
const KEPT = 500;

export class History {
  /** Kept under a name, with those fields of each: texts that it must have, and others. */
  constructor(name, { needed, more }) {
    this.name = name;
    this.needed = needed;
    this.fields = [...needed, ...more];
  }

  /** What was kept, newest first. */
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
      localStorage.setItem(this.name, JSON.stringify(all.slice(0, KEPT), this.fields));
    } catch { /* Then they last as long as the page is open. */ }
  }

  /** Forgets all. */
  clear() {
    try { localStorage.removeItem(this.name); } catch { /* Nothing was kept. */ }
  }
}
