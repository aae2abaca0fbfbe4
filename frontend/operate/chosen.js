// Acts on the tasks that are chosen in the list, one by one.

import { cancel, words } from '../api.js';
import { $, count, counted, plain, set } from '../dom.js';
import { purgeTask, retryTask } from './calls.js';
import { ACTIONS } from './bulk.js';
import { again } from './live.js';
import { act, applyRights, isSure, showDone } from './page.js';

const CALLS = { retry: retryTask, cancel, purge: purgeTask };

/** The ids of the chosen tasks, and the task that was clicked last. */
const chosen = new Set();
let last = null;
/** The tasks that are shown, and the view's own way to show them anew. */
let shown = [];
let render = null;

/** Returns whether any task is chosen. */
export const areChosen = () => chosen.size > 0;

/** Shows which of the tasks are chosen, and what may be done with them. Tasks that are not shown any more are not chosen any more. */
export function showChosen(list) {
  shown = list;
  const ids = new Set(shown.map(({ id }) => id));
  for (const id of chosen) if (!ids.has(id)) chosen.delete(id);
  for (const row of $('#list').tBodies[0].rows) $('.pick input', row).checked = chosen.has(row.dataset.key);
  const all = $('#pick-all');
  [all.checked, all.indeterminate] = [shown.length > 0 && chosen.size === shown.length, chosen.size > 0 && chosen.size < shown.length];
  $('#chosen').hidden = !chosen.size;
  $('#bulk').hidden = chosen.size > 0;
  set($('#chosen-words'), `${count(chosen.size)} chosen`);
  for (const button of $('#chosen').querySelectorAll('button')) {
    const { verb } = ACTIONS[button.dataset.action];
    const number = fit(button.dataset.action).length;
    set(button, number ? `${verb} ${count(number)} …` : verb);
    if (number) delete button.dataset.off;
    else button.dataset.off = '';
  }
  applyRights();
}

/** Returns the chosen tasks that an act is for. */
const fit = action => shown.filter(({ id, status }) => chosen.has(id) && ACTIONS[action].of.includes(status));

/** Sets up the box of a row; with Shift, the rows from the one that was clicked last are chosen with it. */
export function offerChoice(box, id, name) {
  box.ariaLabel = `Choose ${name}`;
  box.onclick = ({ shiftKey }) => {
    const [from, to] = [last, id].map(one => shown.findIndex(task => task.id === one)).sort((one, other) => one - other);
    const range = shiftKey && from >= 0 ? shown.slice(from, to + 1).map(task => task.id) : [id];
    for (const one of range) (box.checked ? chosen.add(one) : chosen.delete(one));
    last = id;
    render();
  };
}

async function change(action) {
  const { verb, past, harm } = ACTIONS[action];
  const some = fit(action);
  const number = counted(some.length, 'task');
  if (!await isSure({ title: `${verb} ${number}?`, text: 'The chosen ones, one by one.', yes: `${verb} ${number}`, harm })) return;
  let [done, refusal] = [0, null];
  for (const { id } of some) {
    try {
      await CALLS[action](id);
      done += 1;
      chosen.delete(id);
    } catch (error) {
      refusal ??= plain(words(error));
    }
  }
  showDone(done ? `${counted(done, 'task')} ${past}.` : '');
  if (refusal) set($('#trouble'), `${counted(some.length - done, 'task')} not changed: ${refusal}`);
  again();
  render();
}

/** Sets the buttons up, once; `renderList()` shows the list anew. */
export function begin(renderList) {
  render = renderList;
  for (const button of $('#chosen').querySelectorAll('button')) {
    button.dataset.change = '';
    button.onclick = () => act(button, () => change(button.dataset.action));
  }
  $('#pick-all').onclick = ({ target }) => {
    for (const { id } of shown) (target.checked ? chosen.add(id) : chosen.delete(id));
    render();
  };
}
