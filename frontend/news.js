// For those who listen to the page: what happens, in few words, and never a flood of them.

import { visible } from './text.js';

const GATHER = 1000;
/** After a summary of many, the next one waits this long. */
const REST = 10_000;
const FEW = 3;

let gathered = [];
let timer = null;

/** Says at once what answers to something that the person did. */
export const tell = words => { document.querySelector('#news').textContent = visible(words); };

/** Says soon what has happened by itself: a few in their own words, many in those of `summary()`. */
export function report(words, summary) {
  gathered.push(words);
  timer ??= setTimeout(say, GATHER, summary);
}

function say(summary) {
  timer = null;
  const isFlood = gathered.length > FEW;
  tell(isFlood ? summary() : gathered.join(' '));
  gathered = [];
  // While it rests, a short text could push a longer one away unheard: the next ones gather until then.
  if (isFlood) timer = setTimeout(() => (gathered.length ? say(summary) : timer = null), REST);
}
