// Acts on all tasks that match the search. The server counts them first; what it counted is what the answer confirms.

import { find } from '../api.js';
import { $, count, counted, set } from '../dom.js';
import { bulk } from './calls.js';
import { filterInWords, statusesOf } from './filters.js';
import { act, applyRights, isDoneShown, isSure, showDone } from './page.js';

/** The acts: the statuses that each is for, and words. */
export const ACTIONS = {
  retry: { verb: 'Retry', past: 'handed in again', of: ['failed', 'cancelled'], text: 'Each becomes a new task, and the old one stays as it is; what was retried before is done once more.' },
  cancel: { verb: 'Cancel', past: 'cancelled', of: ['pending', 'running'], text: 'What has not ended is cancelled. It can be retried later.', harm: true },
  purge: { verb: 'Delete', past: 'deleted', of: ['succeeded', 'failed', 'cancelled'], text: 'They are forgotten, with their results. This can’t be undone.', harm: true },
};
/** Seconds for which the end of an act is awaited at a time. */
const WAIT = 20;

async function offer(action, filter) {
  const { verb, text, harm } = ACTIONS[action];
  const { eligible, at_least: isMore, confirm } = await bulk(action, filter);
  if (!eligible && !isMore) return showDone('No task that matches allows this.');
  const number = isMore ? `at least ${counted(eligible, 'task')}` : counted(eligible, 'task');
  const hasFilter = Object.keys(filter).length > 0;
  const sure = await isSure({
    title: `${verb} ${number}?`,
    text: `${hasFilter ? `All with ${filterInWords(filter)}.` : 'All tasks, without a filter.'} ${text}`,
    yes: `${verb} ${number}`,
    harm,
  });
  if (!sure) return;
  const task = await bulk(action, filter, confirm);
  const notice = showDone(`${verb}: ${number}, as a task of its own.`, `#task/${task.id}`, 'Follow it');
  follow(action, task.id, notice).catch(() => { /* The task's own page says what came of it. */ });
}

/** Describes the result of a bulk act. Those that are skipped could not be changed any more. */
export const changedBy = ({ affected, skipped }, past) => `${counted(affected, 'task')} ${past}${skipped ? `, ${count(skipped)} skipped` : ''}`;

/** Waits for the end of an act, and tells it while the notice of its beginning is shown. */
async function follow(action, id, notice) {
  const { verb, past } = ACTIONS[action];
  for (;;) {
    const { finished, status, result, error } = await find(id, WAIT);
    if (!isDoneShown(notice)) return;
    if (!finished) continue;
    const end = status === 'succeeded' ? `${changedBy(result, past)}.` : `${verb}: ${status}${error ? `, ${error.code}` : ''}.`;
    return showDone(end, `#task/${id}`, 'The act');
  }
}

/** Switches off each act that is not for the tasks of the filter, or all of them: `why` is said beside them. */
export function allowBulk(filter, { areOff, why }) {
  const statuses = statusesOf(filter);
  for (const button of $('#bulk').children) {
    const { of, verb } = ACTIONS[button.dataset.action];
    // The server deletes nothing as long as the filter includes what has not ended.
    const goes = statuses.length === 0 || (button.dataset.action === 'purge' ? statuses.every(one => of.includes(one)) : statuses.some(one => of.includes(one)));
    if (areOff || !goes) button.dataset.off = '';
    else delete button.dataset.off;
    button.title = goes ? '' : `${verb} is for tasks with status ${of.join(' or ')}`;
  }
  set($('#bulk-why'), why);
  applyRights();
}

/** Sets the buttons up; `filterOf()` returns the filter of the list. */
export function offerBulk(filterOf) {
  for (const button of $('#bulk').children) {
    button.dataset.change = '';
    button.onclick = () => act(button, () => offer(button.dataset.action, filterOf()));
  }
}
