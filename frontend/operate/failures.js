// Failed tasks by their codes.

import { searchTasks } from './calls.js';

/** The newest failures that are grouped; the most of a page. */
const MOST = 1000;

/** Groups the newest failed tasks: `{groups, number, hasMore}`, the largest group first. */
export async function groupFailures(signal) {
  const { tasks, next } = await searchTasks({ status: 'failed', limit: MOST }, signal);
  const groups = new Map();
  for (const { kind, error, finished } of tasks) {
    const key = `${kind}/${error?.code}`;
    const group = groups.get(key) ?? { key, kind, code: error?.code ?? '?', tasks: 0, newest: '', detail: '' };
    group.tasks += 1;
    if (finished > group.newest) [group.newest, group.detail] = [finished, error?.detail ?? ''];
    groups.set(key, group);
  }
  const sorted = [...groups.values()].sort((one, other) => other.tasks - one.tasks || (one.newest < other.newest ? 1 : -1));
  return { groups: sorted, number: tasks.length, hasMore: next !== null };
}
