// Short announcements for screen readers, limited in number.

import { visible } from './text.js';

const GATHER = 1000;
/** How long the result of an action stands before events replace it, and how long a summary of many events. */
const REST = { result: 5000, summary: 10_000 };
const FEW = 3;

let gathered = [];
let summarize = null;
let timer = null;
/** Until then an announcement is being read out, and only the result of an action replaces it. */
let rests = 0;

/** Announces at once the result of an action of the user. */
export const tell = words => announce(words, REST.result);

/** Announces events soon: a few in their own words, many by `summary()`. */
export function report(words, summary) {
  gathered.push(words);
  summarize = summary;
  timer ??= setTimeout(say, GATHER);
}

function say() {
  const left = rests - performance.now();
  timer = left > 0 ? setTimeout(say, left) : null;
  if (timer) return;
  const isFlood = gathered.length > FEW;
  announce(isFlood ? summarize() : gathered.join(' '), isFlood ? REST.summary : 0);
  gathered = [];
}

function announce(words, rest) {
  document.querySelector('#news').textContent = visible(words);
  rests = performance.now() + rest;
}
