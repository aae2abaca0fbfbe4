// Filters of the list of tasks, in words.

import { oneLine } from '../text.js';
import { moment } from './times.js';

/** Each filter, in words before its value. */
const WORDS = {
  kind: value => `kind ${value}`,
  status: value => `status ${value}`,
  error_code: value => `code ${value}`,
  filename: value => `file name beginning with “${value}”`,
  worker: value => `run by worker ${value}`,
  owner: value => `of user ${value}`,
  created_after: value => `created from ${moment(value)}`,
  created_before: value => `created before ${moment(value)}`,
  finished_after: value => `ended from ${moment(value)}`,
  finished_before: value => `ended before ${moment(value)}`,
};

/** What is searched alone, or with an owner, and how it is called. */
const ALONE = { filename: 'file name', error_code: 'error code', worker: 'worker', finished_after: 'time of the end', finished_before: 'time of the end' };
const ENDED = ['succeeded', 'failed', 'cancelled'];

/** Describes one filter; of a filter that a newer server knows, as it is. */
export const wordsOf = (name, value) => oneLine(WORDS[name]?.([value].flat().join(', ')) ?? `${name} ${value}`);

/** Describes a filter: `{name: value}`, each value a text or a list of texts. */
export function filterInWords(filter) {
  const words = Object.entries(filter).map(([name, value]) => wordsOf(name, value));
  return words.join(', ') || 'all tasks, without a filter';
}

/** Returns the statuses that the tasks of a filter may have, as far as it says: none if they may have each. */
export function statusesOf({ status, error_code: code, worker, finished_after: after, finished_before: before }) {
  if (status) return status.split(',');
  if (code) return ['failed'];
  if (worker) return ['running'];
  return after || before ? ENDED : [];
}

/** Says why the server does not search by all of these filters together; null if each of them alone is the reason. */
export function clash(filter) {
  const names = [...new Set(Object.keys(filter).map(name => ALONE[name]).filter(Boolean))];
  if (names.length < 2) return null;
  const all = `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
  return `${all[0].toUpperCase()}${all.slice(1)} can’t be searched together: clear one.`;
}
