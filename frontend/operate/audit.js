// The audit: what operators and admins have done.

import { $, set } from '../dom.js';
import { oneLine } from '../text.js';
import { readAudit } from './calls.js';
import { follow, keep } from './live.js';
import { link, showRows } from './page.js';
import { isId } from './tasks.js';
import { showTime } from './times.js';

const PAGE = 100;
const TASK_ACTS = ['cancel', 'retry', 'purge', 'bulk'];

/** Shows the page of the audit that the parameters name, until the signal is aborted. */
export function show(signal, parameters) {
  follow({});
  const after = parameters.get('after');
  keep(signal, 5, async () => {
    const { acts, next } = await readAudit({ limit: PAGE, ...(after && { after }) });
    set($('#audit-words'), acts.length ? '' : 'Nothing was done yet.');
    showRows($('#audit-list'), '#act-row', acts, ({ id }) => id, fill);
    link($('#audit-first'), after && '#audit');
    link($('#audit-next'), next && `#audit?after=${next}`);
  });
}

function fill(row, { at, user, who, act, target, detail }) {
  showTime($('time', row), at);
  set($('.who bdi', row), oneLine(who));
  $('.who', row).title = user ?? '';
  set($('.what', row), act);
  const isTask = TASK_ACTS.includes(act) && isId(target);
  link($('.target a', row), isTask && `#task/${target}`, target);
  set($('.target bdi', row), isTask ? '' : oneLine(target));
  set($('.detail bdi', row), oneLine(detail ?? ''));
}
