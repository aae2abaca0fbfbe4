// What all pages do with their elements.

import { tell } from './news.js';
import { oneLine, visible } from './text.js';

export const $ = (selector, within = document) => within.querySelector(selector);
export const count = n => n.toLocaleString('en');

/** Shows a text, safely. Leaves alone what says it already: it may be selected. */
export function set(element, text) {
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
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

export function bytes(n) {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  for (; n >= 999.5 && units.length > 1; n /= 1000) units.shift();
  return `${n.toLocaleString('en', { maximumFractionDigits: n < 99.5 ? 1 : 0 })} ${n === 1 && units.length === 5 ? 'byte' : units[0]}`;
}

/** A time to wait, roughly. */
export function duration(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${count(Math.round(seconds / 360) / 10)} h`;
}

/** A ticket as it is seen: an element made of a template. */
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

  /** Names buttons for those who hear one without its ticket: `{selector: what it does}`. */
  name(buttons, name) {
    for (const [selector, words] of Object.entries(buttons)) this.part(selector).ariaLabel = `${words} ${oneLine(name)}`;
  }

  /** Shows parts while they have a use: `{selector: whether}`. Who stood on one that goes stands on the heading then. */
  show(parts) {
    const focused = document.activeElement;
    for (const [selector, isShown] of Object.entries(parts)) this.part(selector).hidden = !isShown;
    if (focused?.hidden && this.element.contains(focused)) this.part('h3').focus();
  }
}
