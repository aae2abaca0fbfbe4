// The progress, speed and time left of all files handed in together.

import { $, bytes, count, counted, duration, set } from './dom.js';
import { hasFailed } from './list.js';
import { batch } from './tickets.js';

/** Seconds over which the speed is averaged, and seconds after which it is first shown. */
const [SPAN, FIRST] = [10, 1];

/** Progress over time: `{at, bytes, ended, way}`, in seconds; reset with each batch. */
let seen = [];
let began = null;

/** Returns the numbers and words of the batch. */
export function overall() {
  const ended = batch.filter(ticket => ticket.hasEnded).length;
  const differs = batch.filter(({ matches }) => matches === false).length;
  const failed = batch.filter(hasFailed).length - differs;
  const cancelled = batch.filter(({ status }) => status === 'cancelled').length;
  const size = batch.reduce((sum, ticket) => sum + ticket.size, 0);
  const sent = batch.reduce((sum, ticket) => sum + ticket.size * ticket.sent, 0);
  // Sending counts as one half of the progress, the end of the task as the other.
  const way = ((size ? sent / size : 1) + ended / batch.length) / 2;
  const words = [
    `${count(ended - failed - cancelled)} of ${count(batch.length)} done`,
    differs && counted(differs, 'differs', 'differ'),
    failed && `${count(failed)} failed`,
    cancelled && `${count(cancelled)} cancelled`,
    sent < size ? `${bytes(sent)} of ${bytes(size)} sent` : `${bytes(size)} sent`,
    ...pace({ sent, ended, way }),
  ].filter(Boolean).join(' · ');
  return { words, way, hasEnded: ended === batch.length, isBad: differs + failed > 0 };
}

/** Speed and time left, while something is still to come. */
function pace({ sent, ended, way }) {
  const at = performance.now() / 1000;
  if (began !== batch[0]) [began, seen] = [batch[0], []];
  if (ended === batch.length) return [];
  if (!seen.length || at - seen.at(-1).at > 0.25) seen = [...seen.filter(one => at - one.at < SPAN), { at, sent, ended, way }];
  const [first, last] = [seen[0], seen.at(-1)];
  const seconds = last.at - first.at;
  if (seconds < FIRST) return [];
  return [
    last.sent > first.sent && `${bytes((last.sent - first.sent) / seconds)}/s`,
    last.ended > first.ended && `${count(Math.round((last.ended - first.ended) / seconds * 10) / 10)} files/s`,
    last.way > first.way && `about ${duration((1 - way) * seconds / (last.way - first.way))} left`,
  ];
}

/** Shows it, for more than one file. */
export function showOverall() {
  $('#overall').hidden = batch.length < 2;
  if (batch.length < 2) return;
  const { words, way, hasEnded, isBad } = overall();
  set($('#overall-words'), words);
  $('#overall-words').classList.toggle('error', isBad);
  $('#overall progress').value = way;
  $('#overall progress').hidden = $('#cancel-all').hidden = hasEnded;
}
