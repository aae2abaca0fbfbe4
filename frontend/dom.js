// What all pages do with their elements.

import { tell } from './news.js';

export const $ = (selector, within = document) => within.querySelector(selector);
export const count = n => n.toLocaleString('en');

/** Leaves alone what says it already: it may be selected. */
export function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The server's words on a field, which it names in backticks: which one, and the words with its label instead. */
export function blamed(message) {
  const name = message.match(/^`(\w+)`/)?.[1];
  const label = $(`label[for=${name}]`)?.textContent ?? name;
  return { name, words: message.replace(/^`\w+`/, label) };
}

/** The clipboard is there only on HTTPS and on this machine; elsewhere the text is selected, ready to be copied. */
export async function copy(code, button) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = 'Copied';
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = document.execCommand('copy') ? 'Copied' : 'Selected';
  }
  tell(button.textContent);
  setTimeout(() => { button.textContent = 'Copy'; }, 2000);
}
