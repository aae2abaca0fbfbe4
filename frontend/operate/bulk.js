// Acts on all tasks that match the search. The server counts them first; what it counted is what the answer confirms.

import { $, count } from '../dom.js';
import { bulk } from './calls.js';
import { act, isSure, showDone } from './page.js';

const ACTIONS = {
  retry: { verb: 'Retry', text: 'Each becomes a new task, and the old one stays as it is.' },
  cancel: { verb: 'Cancel', text: 'What has not ended is cancelled. It can be retried later.', harm: true },
  purge: { verb: 'Delete', text: 'They are forgotten, with their results. This can’t be undone.', harm: true },
};

const tasks = number => `${count(number)} ${number === 1 ? 'task' : 'tasks'}`;

async function offer(action, filter) {
  const { verb, text, harm } = ACTIONS[action];
  const counted = await bulk(action, filter);
  if (!counted.eligible) return showDone('No task that matches allows this.');
  const words = Object.entries(filter).map(([name, value]) => `${name} ${value}`).join(', ');
  const sure = await isSure({
    title: `${verb} ${tasks(counted.eligible)}?`,
    text: `${words ? `All with ${words}.` : 'All tasks, without a filter.'} ${text}`,
    yes: `${verb} ${tasks(counted.eligible)}`,
    harm,
  });
  if (!sure) return;
  const task = await bulk(action, filter, counted.confirm);
  showDone(`${verb}: ${tasks(counted.eligible)}, as a task of its own.`, `#task/${task.id}`, 'Follow it');
}

/** Sets the buttons up; `filterOf()` returns the filter of the list. */
export function offerBulk(filterOf) {
  for (const button of $('#bulk').children) {
    button.dataset.change = '';
    button.onclick = () => act(button, () => offer(button.dataset.action, filterOf()));
  }
}
