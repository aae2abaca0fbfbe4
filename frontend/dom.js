// Functions of all pages on their elements.

import { tell } from './news.js';
import { oneLine, visible } from './text.js';

export const $ = (selector, within = document) => within.querySelector(selector);
export const count = n => n.toLocaleString('en');

/** Tells a number of things: `counted(2, 'task')` is "2 tasks". */
export const counted = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** Shows a text, safely. Leaves an element that shows it already alone: its text may be selected. */
export function set(element, text) {
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
}

/** Returns a sentence of the server without the backticks around names. */
export const plain = message => message.replaceAll('`', '');

/** Returns the field that the server's error names in backticks, and the error with the field's label instead. */
export function blamed(message) {
  const name = message.match(/^`(\w+)`/)?.[1];
  const label = $(`label[for=${name}]`)?.textContent ?? name;
  return { name, words: plain(message.replace(/^`\w+`/, label)) };
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

export function bytes(n) {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  for (; n >= 999.5 && units.length > 1; n /= 1000) units.shift();
  return `${n.toLocaleString('en', { maximumFractionDigits: n < 99.5 ? 1 : 0 })} ${n === 1 && units.length === 5 ? 'byte' : units[0]}`;
}

/** Formats a time to wait, roughly. */
export function duration(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${count(Math.round(seconds / 360) / 10)} h`;
}

/** The view of a ticket: an element made of a template. */
export class View {
  constructor(ticket, template) {
    this.ticket = ticket;
    this.element = $(template).content.firstElementChild.cloneNode(true);
    for (const button of this.element.querySelectorAll('.copy')) {
      button.onclick = () => copy($('code', button.parentElement), button);
    }
    this.part('.cancel').onclick = () => ticket.cancel();
  }

  part(selector) { return $(selector, this.element); }

  set(selector, text) { set(this.part(selector), text); }

  /** Names buttons for screen readers, which read them without their ticket: `{selector: action}`. */
  name(buttons, name) {
    for (const [selector, words] of Object.entries(buttons)) this.part(selector).ariaLabel = `${words} ${oneLine(name)}`;
  }

  /** Shows or hides parts: `{selector: whether}`. If a hidden part had the focus, the heading gets it. */
  show(parts) {
    const focused = document.activeElement;
    for (const [selector, isShown] of Object.entries(parts)) this.part(selector).hidden = !isShown;
    if (focused?.hidden && this.element.contains(focused)) this.part('h3').focus();
  }
}
