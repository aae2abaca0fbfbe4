// Undoes the last action, as long as the page is open and no similar action followed.

import { $, set } from './dom.js';
import { tell } from './news.js';

let box = null;

/** Shows before a section of the page what was done, with a button that undoes it. */
export function offerUndo(section, words, undo) {
  box?.remove();
  box = document.createElement('p');
  box.className = 'notice undo';
  box.append(document.createElement('span'), ' ', document.createElement('button'));
  const button = $('button', box);
  button.type = 'button';
  button.textContent = 'Undo';
  set($('span', box), words);
  section.before(box);
  button.focus(); // The clicked button may be gone.
  tell(`${words} It can be undone.`);
  button.addEventListener('click', () => {
    box.remove();
    box = null;
    undo();
    $('h2', section).focus();
    tell('Undone.');
  });
}
