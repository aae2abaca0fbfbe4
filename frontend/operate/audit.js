// The audit: what operators and admins have done.

import { $, set } from '../dom.js';
import { oneLine } from '../text.js';
import { listUsers, readAudit } from './calls.js';
import { filterInWords } from './filters.js';
import { follow, keep } from './live.js';
import { link, may, showRows } from './page.js';
import { isId } from './tasks.js';
import { showTime } from './times.js';

const PAGE = 100;
const TASK_ACTS = ['cancel', 'retry', 'purge', 'bulk'];
const USER_ACTS = ['create-user', 'set-password', 'grant', 'revoke', 'disable-user', 'enable-user', 'delete-user', 'end-sessions'];
/** The users whose names are looked up at most: the most of a page. */
const USERS = 1000;

/** The names of users by their ids, for admins. */
let names = new Map();

/** Shows the page of the audit that the parameters name, until the signal is aborted. */
export function show(signal, parameters) {
  follow({});
  const after = parameters.get('after');
  names = new Map();
  keep(signal, 5, async () => {
    const { acts, next } = await readAudit({ limit: PAGE, ...(after && { after }) });
    if (may.manage && acts.some(isUnnamed)) names = new Map((await listUsers({ limit: USERS })).users.map(({ id, username }) => [id, username]));
    set($('#audit-words'), acts.length ? '' : 'Nothing was done yet.');
    showRows($('#audit-list'), '#act-row', acts, ({ id }) => id, fill);
    link($('#audit-first'), after && '#audit');
    link($('#audit-next'), next && `#audit?after=${next}`);
  });
}

/** Returns the name of the user that an act was done to; of some acts the detail has it. */
const nameOf = ({ act, target, detail }) => (act.endsWith('-user') && detail ? detail : names.get(target));

const isUnnamed = entry => USER_ACTS.includes(entry.act) && !nameOf(entry) && !names.size;

/** Describes an act, and its detail, in words. */
function wordsOf({ act, detail }) {
  if (act === 'drain' && detail) return ['undo drain', ''];
  if (act === 'bulk') return [act, bulkInWords(detail)];
  return [act, act.endsWith('-user') ? '' : detail ?? ''];
}

function bulkInWords(detail) {
  try {
    const { action, filter } = JSON.parse(detail);
    return `${action}: ${filterInWords(filter)}`;
  } catch {
    return detail ?? '';
  }
}

function fill(row, entry) {
  const { at, user, who, act, target } = entry;
  const [what, detail] = wordsOf(entry);
  showTime($('time', row), at);
  set($('.who bdi', row), oneLine(who));
  $('.who', row).title = user ?? '';
  set($('.what', row), what);
  const isTask = TASK_ACTS.includes(act) && isId(target);
  const name = USER_ACTS.includes(act) ? nameOf(entry) : null;
  link($('.target a', row), isTask && `#task/${target}`, target);
  set($('.target bdi', row), isTask ? '' : oneLine(name ?? target));
  $('.target', row).title = name ? target : '';
  set($('.detail bdi', row), oneLine(detail));
}
