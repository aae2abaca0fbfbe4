// The tickets of earlier visits, kept in this browser. Without storage (it may be refused, or full) the page works as well.

const NAME = 'coatcheck-tickets';
/** The newest so many are kept. */
export const KEPT = 500;
const FIELDS = ['id', 'name', 'size', 'created', 'status', 'md5', 'error', 'expected'];

/** What was kept, newest first. */
export function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(NAME)) ?? [];
    return kept.filter(({ id, name, status }) => [id, name, status].every(value => typeof value === 'string'));
  } catch {
    return [];
  }
}

/** Keeps these, and those that another tab has kept meanwhile. Ids are in the order of time. */
export function save(tickets) {
  const mine = tickets.filter(({ id }) => id);
  const known = new Set(mine.map(({ id }) => id));
  const all = [...mine, ...load().filter(({ id }) => !known.has(id))];
  all.sort((one, other) => (one.id < other.id ? 1 : -1));
  try {
    localStorage.setItem(NAME, JSON.stringify(all.slice(0, KEPT), FIELDS));
  } catch { /* Then they last as long as the page is open. */ }
}

/** Forgets all. */
export function clear() {
  try { localStorage.removeItem(NAME); } catch { /* Nothing was kept. */ }
}
