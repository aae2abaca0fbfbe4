// The operators' page. Its address has the view behind #, so that views can be shared, and the browser's way back works.

import { pause, untilReachable, Refusal } from './api.js';
import { $, plain, set } from './dom.js';
import { known, visitor } from './gate.js';
import { askRights, askWhetherChanges, listKinds } from './operate/calls.js';
import * as audit from './operate/audit.js';
import './operate/keys.js';
import * as live from './operate/live.js';
import * as now from './operate/now.js';
import { applyRights, may, showDone } from './operate/page.js';
import * as task from './operate/task.js';
import * as tasks from './operate/tasks.js';
import { compareClocks } from './operate/times.js';
import * as users from './operate/users.js';
import * as workers from './operate/workers.js';

const VIEWS = { now, tasks, task, workers, audit, users };
/** The views that have a link; a task belongs to the list. */
const LINKS = { now: 'Now', tasks: 'Tasks', workers: 'Workers', audit: 'Audit', users: 'Users' };
/** Seconds after which the page asks again what the visitor may do. */
const AGE = 60;

let run = new AbortController();
let shown = null;

function read() {
  const [path, query] = location.hash.slice(1).split('?');
  const [name, id] = path.split('/');
  return { name: Object.hasOwn(VIEWS, name) ? name : 'now', id, parameters: new URLSearchParams(query) };
}

function show() {
  run.abort();
  run = new AbortController();
  const { name, id, parameters } = read();
  const at = name === 'task' ? 'tasks' : name;
  for (const view of Object.keys(VIEWS)) $(`#view-${view}`).hidden = view !== name;
  for (const link of $('#views').children) link.ariaCurrent = link.dataset.view === at ? 'page' : null;
  document.title = `${LINKS[at]} · Operate · Coatcheck`;
  for (const place of ['#trouble', '#done span']) set($(place), '');
  $('#done').hidden = true;
  // A reader by ear, and the Tab key, go on at the view's heading.
  if (shown && shown !== name + (id ?? '')) {
    $(`#view-${name} h2`).focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  shown = name + (id ?? '');
  VIEWS[name].show(run.signal, parameters, id);
}

/** Repeats a request until it is answered. */
async function answered(work) {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Refusal)) await untilReachable();
      else if (error.mayPass) await pause(error.seconds ?? 2);
      else throw error;
    }
  }
}

/** The server's refusal of changes: it holds until the next log-in. */
let refusal = null;

/** Asks what the visitor may do, and says so if it is only to read. */
async function learn() {
  await known;
  // A refusal is remembered: the browser logs an error for each refused request.
  const rights = visitor ? await answered(askRights) : [];
  const answer = refusal ?? await answered(askWhetherChanges);
  const { may: change, why } = answer;
  refusal = change ? null : answer;
  [may.change, may.manage] = [change, rights.includes('admin')];
  $('#closed').hidden = change;
  const later = visitor ? ' A right that is granted counts from the next log-in on.' : '';
  set($('#closed'), change ? '' : `Read-only: you can look at everything here, and change nothing. ${plain(why)}${later}`);
  applyRights();
}

async function begin() {
  for (const [view, name] of Object.entries(LINKS)) {
    const link = document.createElement('a');
    [link.href, link.textContent, link.dataset.view] = [`#${view}`, name, view];
    $('#views').append(link);
  }
  for (const name of ['away', 'back']) addEventListener(name, () => { $('#away').hidden = name === 'back'; });
  for (const view of Object.values(VIEWS)) view.begin?.();
  showDone('');
  try {
    // Waits for a log-in, where the server requires one.
    await answered(listKinds);
  } catch ({ message }) {
    $('#closed').hidden = false;
    $('#views').hidden = true;
    live.told('off', 'Closed');
    return set($('#closed'), `This page is for viewers, operators and admins. ${plain(message)}`);
  }
  await Promise.all([learn(), answered(compareClocks)]);
  setInterval(() => { if (!document.hidden) learn().catch(() => { /* The next interval asks again. */ }); }, AGE * 1000);
  addEventListener('hashchange', show);
  addEventListener('arrived', () => {
    refusal = null;
    learn().then(show);
  });
  live.open();
  show();
}

begin();
