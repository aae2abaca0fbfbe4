// Short announcements for screen readers, limited in number.

import { visible } from './text.js';

const GATHER = 1000;
/** The delay of the next announcement after a summary of many. */
const REST = 10_000;
const FEW = 3;

let gathered = [];
let timer = null;

/** Announces at once the result of an action of the user. */
export const tell = words => { document.querySelector('#news').textContent = visible(words); };

/** Announces events soon: a few in their own words, many by `summary()`. */
export function report(words, summary) {
  gathered.push(words);
  timer ??= setTimeout(say, GATHER, summary);
}

function say(summary) {
  timer = null;
  const isFlood = gathered.length > FEW;
  tell(isFlood ? summary() : gathered.join(' '));
  gathered = [];
  // A new text would replace the summary before it is read out, so later ones are gathered during the rest.
  if (isFlood) timer = setTimeout(() => (gathered.length ? say(summary) : timer = null), REST);
}
