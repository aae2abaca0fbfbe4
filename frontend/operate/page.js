// Shared by the views: rows that stay in place, the visitor's rights, questions before an act, and its result.

import { words } from '../api.js';
import { $, plain, set } from '../dom.js';
import { tell } from '../news.js';
import { listKinds } from './calls.js';

/** What the visitor may do: change tasks, kinds and workers; manage users. */
export const may = { change: false, manage: false };

const isOff = ({ dataset: { busy, off } }) => !may.change || busy !== undefined || off !== undefined;

/** Disables what the visitor may not do, and what the view has switched off with `data-off`. */
export function applyRights() {
  for (const button of document.querySelectorAll('[data-change]')) button.disabled = isOff(button);
}

/** Chooses a value in a list of choices, which has it from now on if it had not. */
export function choose(field, value) {
  if (![...field.options].some(option => option.value === value)) field.append(new Option(value, value));
  field.value = value;
}

/** Offers the kinds that the server has, once. */
export async function offerKinds(field) {
  if (field.dataset.offered !== undefined) return;
  const kinds = await listKinds();
  field.dataset.offered = '';
  const known = new Set([...field.options].map(option => option.value));
  field.append(...kinds.map(({ kind }) => kind).filter(kind => !known.has(kind)).map(kind => new Option(kind, kind)));
}

/** Shows items as rows, each by its key. Rows that stay are changed in place: the focus and a selection stay. */
export function showRows(table, template, items, keyOf, fill) {
  const body = table.tBodies[0];
  const known = new Map([...body.rows].map(row => [row.dataset.key, row]));
  items.forEach((item, place) => {
    const key = String(keyOf(item));
    const row = known.get(key) ?? $(template).content.firstElementChild.cloneNode(true);
    known.delete(key);
    row.dataset.key = key;
    fill(row, item);
    if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
  });
  for (const row of known.values()) row.remove();
  table.hidden = !items.length;
  applyRights();
}

/** Shows a link, or hides it if it leads nowhere. */
export function link(element, href, text) {
  element.hidden = !href;
  if (href && element.getAttribute('href') !== href) element.href = href;
  if (text !== undefined) set($('bdi', element) ?? element, href ? text : '');
}

/** Asks in a dialogue; `harm` marks what can't be undone. Resolves to whether the answer is yes. */
export function isSure({ title, text, yes, harm = false }) {
  const dialog = $('#sure');
  set($('#sure-title'), title);
  set($('#sure-words'), text);
  set($('#sure-yes'), yes);
  if (harm) dialog.dataset.harm = '';
  else delete dialog.dataset.harm;
  dialog.returnValue = 'no';
  dialog.showModal();
  $('#sure-no').focus();
  return new Promise(done => dialog.addEventListener('close', () => done(dialog.returnValue === 'yes'), { once: true }));
}

let notice = 0;

/** Shows the result of an act, perhaps with a link. Returns the notice's number, for `isDoneShown`. */
export function showDone(text, href, linkText) {
  notice += 1;
  $('#done').hidden = !text;
  set($('#done span'), text);
  link($('#done a'), href, linkText ?? '');
  if (text) tell(text);
  return notice;
}

/** Returns whether a notice is still the one that is shown. */
export const isDoneShown = number => number === notice && !$('#done').hidden;

/** Leads to another view, and shows there the result of an act. */
export function leave(hash, words) {
  // After the page's own listener, which clears the result of the view before.
  addEventListener('hashchange', () => showDone(words), { once: true });
  location.hash = hash;
}

/** Does an act of a button, which is disabled meanwhile; shows an error in `place`. Returns whether it was done. */
export async function act(button, work, place = $('#trouble')) {
  if (button.dataset.busy !== undefined) return false;
  button.dataset.busy = '';
  const wasDisabled = button.disabled;
  button.disabled = true;
  set(place, '');
  try {
    await work();
    return true;
  } catch (error) {
    set(place, `Not done: ${plain(words(error))}`);
    return false;
  } finally {
    delete button.dataset.busy;
    button.disabled = button.dataset.change === undefined ? wasDisabled : isOff(button);
  }
}
