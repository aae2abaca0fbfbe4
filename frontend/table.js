// A table that was handed in: what the page knows of it, and its view.

import { Refusal, findTable, pause, untilReachable } from './api.js';
import { $, View, bytes, count, counted, duration, set } from './dom.js';
import { oneLine } from './text.js';
import { Upload } from './upload.js';

const STATES = {
  waiting: ['waiting', 'Waiting to be handed in'],
  sending: ['active', 'Being handed in'],
  sent: ['active', 'Being checked'],
  pending: ['waiting', 'In the queue'],
  running: ['active', 'Its rows are being sent'],
  succeeded: ['done', 'Done'],
  failed: ['failed', 'Failed'],
  refused: ['failed', 'Rejected'],
  cancelled: ['cancelled', 'Cancelled'],
};
const HELD_UP = ['waiting', 'Waiting'];
const PARTLY = ['partly', 'Done, but some rows failed'];

/** Seconds between two polls of the progress, for which there are no events. */
const PERIOD = 1;
/** The rate is averaged over this many seconds. */
const SPAN = 30;
/** The shortest time in seconds from which a rate is computed. */
const FIRST_SPAN = 2;

export class Table extends Upload {
  kind = 'tables';
  failure = 'The table failed. Hand it in again.';
  rows = null;
  done = 0;
  failedRows = 0;
  /** The first errors, and the number of all. */
  errors = [];
  total = 0;
  /** Progress over time: `{at, done}`, in seconds. */
  seen = [];

  /** Calls `onChange(table)` after each change, `onOpen(table)` when the user opens its rows, `onAgain(table)` when the failed ones are
      to be sent again. */
  constructor(fields, { onChange, onOpen, onAgain }) {
    super();
    Object.assign(this, fields);
    this.onChange = onChange;
    this.view = new TableView(this, { onOpen, onAgain });
  }

  changed() {
    this.view.update();
    this.onChange(this);
  }

  refuse(error, canRetry) {
    Object.assign(this, { errors: error.errors ?? [], total: error.total ?? 0 });
    super.refuse(error, canRetry);
  }

  read({ input, progress, result }) {
    const done = progress?.sent ?? result?.rows ?? this.done;
    if (done !== this.done || !this.seen.length) this.look(done);
    return {
      name: input.filename || 'A table without a name',
      size: input.size,
      rows: input.rows,
      done,
      failedRows: progress?.failed ?? result?.failed ?? this.failedRows,
    };
  }

  look(done) {
    const at = performance.now() / 1000;
    this.seen = [...this.seen.filter(one => at - one.at < SPAN), { at, done }];
  }

  /** Seconds until all rows are sent, at the recent rate; null if the rate is unknown. */
  get secondsLeft() {
    const [first, last] = [this.seen[0], this.seen.at(-1)];
    if (this.status !== 'running' || !first || last.done <= first.done || last.at - first.at < FIRST_SPAN) return null;
    return (this.rows - this.done) * (last.at - first.at) / (last.done - first.done);
  }

  async follow() {
    while (!this.hasEnded) {
      try {
        this.update(await findTable(this.id));
      } catch (error) {
        if (!(error instanceof Refusal)) await untilReachable();
        else if (!error.mayPass) return this.giveUp(error);
        else this.set({ note: `${error.message} Trying again …` });
      }
      if (!this.hasEnded) await pause(PERIOD);
    }
  }
}

class TableView extends View {
  constructor(table, { onOpen, onAgain }) {
    super(table, '#table');
    this.part('.open').onclick = () => onOpen(table);
    this.part('.again').onclick = () => onAgain(table);
    this.part('.retry').onclick = () => table.retry();
  }

  update() {
    const { ticket } = this;
    const { id, size, status, sent, rows, done, failedRows, error, errors, note, isHeldUp } = ticket;
    const name = oneLine(ticket.name);
    const [kind, words] = isHeldUp ? HELD_UP : status === 'succeeded' && failedRows ? PARTLY : STATES[status];
    this.element.dataset.state = kind;
    this.set('.state', status === 'sending' ? `${words}, ${Math.floor(100 * sent)} %` : words);
    this.set('.name bdi', name);
    this.set('.size', size ? bytes(size) : ''); // A table that sends the rows of another has no file.
    this.set('.id code', id ?? '');
    if (id) this.part('.id a').href = `/tables?id=${id}`;
    this.part('.count').dataset.partly = failedRows > 0;
    this.set('.count span', rows === null ? '' : progress(ticket));
    this.set('.note', note);
    this.set('p.error', error);
    this.part('progress').ariaLabel = `Progress of ${name}`;
    this.part('progress').value = id ? done / (rows || 1) : sent;
    this.name({
      '.copy': 'Copy the id of',
      '.open': 'Show rows of',
      '.again': 'Send the failed rows again of',
      '.cancel': 'Cancel:',
      '.retry': 'Try again:',
    }, name);
    if (this.shown !== errors) this.showErrors(ticket);
    this.show({
      '.id': id,
      '.count': rows !== null,
      '.errors': errors.length,
      '.open': id,
      '.again': id && ticket.hasEnded && failedRows,
      '.cancel': !ticket.hasEnded,
      '.retry': ticket.canRetry,
    });
  }

  showErrors({ errors, total }) {
    this.shown = errors;
    const rest = total > errors.length ? `, of which these are the first ${count(errors.length)}` : '';
    this.set('.errors summary', counted(total, 'error') + rest);
    this.part('.errors tbody').replaceChildren(...errors.map(({ row, line: at, column, reason }) => {
      const line = $('#error').content.firstElementChild.cloneNode(true);
      const texts = [at ? count(at) : '', row === 0 ? 'Header' : count(row), column, reason];
      texts.forEach((text, cell) => set(line.cells[cell], text));
      return line;
    }));
  }
}

/** Describes the progress of a table. */
export function progress({ rows, done, failedRows, secondsLeft }) {
  return [
    `${done === rows ? count(rows) : `${count(done)} of ${count(rows)}`} sent`,
    failedRows && `${count(failedRows)} failed`,
    secondsLeft !== null && `about ${duration(secondsLeft)} left`,
  ].filter(Boolean).join(' · ');
}
