// A way back from what was just done, for as long as the page is open and nothing else of the sort was done.

import { $, set } from './dom.js';
import { tell } from './news.js';

let box = null;

/** Says before a section of the page what was done, with a button that undoes it. */
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
  button.focus(); // What was clicked may be gone.
  tell(`${words} It can be undone.`);
  button.addEventListener('click', () => {
    box.remove();
    box = null;
    undo();
    $('h2', section).focus();
    tell('All is as it was.');
  });
}
