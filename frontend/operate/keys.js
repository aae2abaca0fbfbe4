// The keyboard: single keys that lead through the page. They can be switched off, which this browser remembers.

import { $ } from '../dom.js';

const NAME = 'operate-keys';
const box = $('#shortcuts');

try { box.checked = localStorage.getItem(NAME) !== 'off'; } catch { /* Not kept: they are on. */ }
box.addEventListener('change', () => {
  try { localStorage.setItem(NAME, box.checked ? 'on' : 'off'); } catch { /* It lasts as long as the page. */ }
});

const isWriting = ({ target }) => target.matches('textarea, select, input:not([type=checkbox])');

/** Moves the focus among the rows of the view. */
function move(by) {
  const rows = [...document.querySelectorAll('.view:not([hidden]) .entry')].filter(one => one.checkVisibility());
  const at = rows.indexOf(document.activeElement);
  rows[Math.min(Math.max(at < 0 ? 0 : at + by, 0), rows.length - 1)]?.focus();
}

/** Leaves a field, or a task: the list is where it was. */
function leave() {
  if (document.activeElement.matches('input, select')) document.activeElement.blur();
  else if ($('#back').checkVisibility()) location.hash = $('#back').getAttribute('href');
}

/** Presses a button of the task that is shown, if it is there. */
const press = selector => { if ($(selector).checkVisibility()) $(selector).click(); };

function find() {
  if (!$('#q').checkVisibility()) {
    // After the page's own listener, which shows the view.
    addEventListener('hashchange', () => $('#q').select(), { once: true });
    location.hash = '#tasks';
  } else {
    $('#q').select();
  }
}

addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || $('dialog[open]')) return;
  if (isWriting(event) && event.key !== 'Escape') return;
  const act = {
    '/': find,
    j: () => move(1),
    k: () => move(-1),
    r: () => press('#retry'),
    c: () => press('#cancel'),
    Escape: leave,
    '?': () => $('#help').showModal(),
  }[event.key] ?? (/^[1-9]$/.test(event.key) && (() => document.querySelectorAll('#views a')[event.key - 1]?.click()));
  // The help is always there: in it the keys are switched on again.
  if (!act || (!box.checked && event.key !== '?')) return;
  event.preventDefault();
  act();
});
