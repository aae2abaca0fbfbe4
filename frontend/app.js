// The upload page. No framework, no build step; the Content-Security-Policy allows nothing inline and no one else's.
'use strict';

const API = '/api/v1/md5';
const ID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/i;
const OFFLINE = 'The server can’t be reached.';

// A browser opens six connections to a host. Two uploads and three waits leave one for the page.
const uploads = lanes(2);
const waits = lanes(3);

const $ = (selector, within = document) => within.querySelector(selector);
const pause = seconds => new Promise(done => setTimeout(done, seconds * 1000));

/** Runs at most `free` functions at a time, the others in their order. */
function lanes(free) {
  const queue = [];
  const run = async work => {
    if (free > 0) free -= 1;
    else await new Promise(start => queue.push(start));
    return work().finally(() => {
      if (queue.length) queue.shift()();
      else free += 1;
    });
  };
  return Object.assign(run, { isBusy: () => queue.length > 0 });
}

/** An error whose message is meant for the person at the page. */
class Refusal extends Error {
  constructor(status, text) {
    const problem = parsed(text);
    super(problem?.detail || problem?.title || `The server answered ${status}, without a reason.`);
    this.status = status;
  }
}

const mayPass = error => !(error instanceof Refusal) || error.status === 429 || error.status >= 500;

function parsed(text) {
  try { return JSON.parse(text); } catch { return null; }
}

// ---- Tickets: what is seen of a task ----

class Ticket {
  constructor(name, size, before = $('#list').firstChild) {
    this.element = $('#ticket').content.firstElementChild.cloneNode(true);
    this.part = selector => $(selector, this.element);
    this.name = name;
    this.part('bdi').textContent = name;
    this.part('progress').ariaLabel = `Progress of ${name}`;
    this.part('.size').textContent = size === undefined ? '' : bytes(size);
    $('#tickets').hidden = false;
    $('#list').insertBefore(this.element, before);
  }

  /** `kind` (waiting, active, done, failed) gives the colour, `words` the meaning. */
  state(kind, words) {
    this.element.dataset.state = kind;
    this.part('.state').textContent = words;
  }

  value(row, text, label) {
    const [code, button] = [this.part(`.${row} code`), this.part(`.${row} .copy`)];
    this.part(`.${row}`).hidden = false;
    code.textContent = text;
    button.ariaLabel = `Copy ${label} of ${this.name}`;
    button.onclick = () => copy(code, button);
  }

  accepted({ id }) {
    this.value('id', id, 'the id');
    this.part('progress').removeAttribute('value'); // From here on nobody knows how long it takes.
    tell(`Ticket of ${this.name}: ${id}`);
  }

  update({ status, result, error }) {
    if (status === 'pending') this.state('waiting', 'In the queue');
    else if (status === 'running') this.state('active', 'Being hashed');
    else if (status === 'cancelled') this.fail(error?.detail || 'The task was cancelled.', 'Cancelled');
    else if (status !== 'succeeded') this.fail(error?.detail || 'The task failed.');
    else {
      this.state('done', 'Done');
      if (!result?.md5) return;
      this.value('digest', result.md5, 'the digest');
      tell(`${this.name} is done. Its MD5 is ${result.md5}.`);
    }
  }

  fail(words, state = 'Failed') {
    this.state('failed', state);
    this.part('p.error').textContent = words;
    tell(`${this.name}: ${words}`);
  }

  /** Offers another try. */
  retry(again) {
    const button = this.part('.retry');
    button.hidden = false;
    button.ariaLabel = `Try again: ${this.name}`;
    button.onclick = () => {
      button.hidden = true;
      this.part('p.error').textContent = '';
      again();
    };
  }
}

function bytes(n) {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  for (; n >= 999.5 && units.length > 1; n /= 1000) units.shift();
  return `${n.toLocaleString('en', { maximumFractionDigits: n < 99.5 ? 1 : 0 })} ${units[0]}`;
}

/** For those who listen to the page. */
const tell = words => { $('#news').textContent = words; };

/** The clipboard is there only on HTTPS and on this machine; elsewhere the text is selected, ready to be copied. */
async function copy(code, button) {
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

// ---- Talking to the server ----

/** XMLHttpRequest, because fetch tells no progress. */
function send(file, key, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append('file', file, file.name);
    request.open('POST', API);
    request.setRequestHeader('Idempotency-Key', key);
    request.upload.onprogress = event => onProgress(event.loaded, event.total);
    request.onload = () => {
      const task = parsed(request.responseText);
      if (request.status >= 200 && request.status < 300 && task?.id) resolve(task);
      else reject(new Refusal(request.status, request.responseText));
    };
    request.onerror = () => reject(new Error('The connection broke off, or the file can’t be read.'));
    request.send(form);
  });
}

/** @throws {Refusal} when the server answers with an error; another error when it doesn't answer. */
async function find(id, wait) {
  const response = await fetch(`${API}/${id}?wait=${wait}`, { cache: 'no-store' });
  const text = await response.text();
  const task = parsed(text);
  if (!response.ok || !task?.id) throw new Refusal(response.status, text);
  return task;
}

/** Follows a task until it has ended, through restarts of the server. */
async function follow(ticket, task) {
  ticket.update(task);
  for (let failures = 0; ['pending', 'running'].includes(task.status); ) {
    await pause(failures ? Math.min(2 ** failures, 20) * (0.5 + Math.random() / 2) : 0.1);
    try {
      // Shorter turns while others stand in line.
      task = await waits(() => find(task.id, waits.isBusy() ? 1 : 30));
      ticket.update(task);
      failures = 0;
    } catch (error) {
      if (!mayPass(error)) return ticket.fail(error.message);
      ticket.state('waiting', error instanceof Refusal ? error.message : `${OFFLINE} Trying again …`);
      failures += 1;
    }
  }
}

async function upload(file, ticket, key) {
  ticket.state('waiting', 'Waiting to be sent');
  ticket.part('progress').value = 0;
  try {
    const task = await uploads(() => {
      ticket.state('active', 'Sending');
      return send(file, key, (sent, total) => {
        ticket.part('progress').value = sent / total;
        ticket.state('active', sent < total ? `Sending, ${Math.floor(100 * sent / total)} %` : 'Sent, waiting for the ticket');
      });
    });
    ticket.accepted(task);
    await follow(ticket, task);
  } catch (error) {
    ticket.fail(error.message);
    // The same key: had the first try arrived after all, this gives its ticket.
    if (mayPass(error)) ticket.retry(() => upload(file, ticket, key));
  }
}

function take(files, before = $('#list').firstChild) {
  for (const file of files) {
    // Not crypto.randomUUID: it is missing where the page comes over plain HTTP from another machine.
    const key = Array.from(crypto.getRandomValues(new Uint32Array(4)), n => n.toString(16).padStart(8, '0')).join('');
    upload(file, new Ticket(file.name, file.size, before), key);
  }
}

async function lookUp(event) {
  event.preventDefault();
  const field = $('#id');
  const id = field.value.match(ID)?.[0].toLowerCase();
  const error = words => [$('#lookup-error').textContent, field.ariaInvalid] = [words, String(words !== '')];
  error('');
  if (!id) return error('That is no id. One looks like 0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d.');
  try {
    const task = await find(id, 0);
    const ticket = new Ticket(task.input?.filename || 'Task', task.input?.size);
    ticket.accepted(task);
    field.value = '';
    await follow(ticket, task);
  } catch (reason) {
    error(reason instanceof Refusal ? reason.message : `${OFFLINE} Check the connection and try again.`);
  }
}

// ---- The page ----

$('#origin').textContent = location.origin;
$('#lookup').addEventListener('submit', lookUp);
$('#files').addEventListener('change', ({ target }) => {
  take(target.files);
  target.value = '';
});

for (const name of ['dragover', 'dragleave', 'drop']) {
  addEventListener(name, event => {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault(); // Else the browser would open the file in place of the page.
    $('#drop').classList.toggle('over', name === 'dragover');
    if (name !== 'drop') return;
    const before = $('#list').firstChild;
    for (const dropped of event.dataTransfer.items) {
      const [file, isFolder] = [dropped.getAsFile(), dropped.webkitGetAsEntry?.()?.isDirectory];
      if (file && isFolder) new Ticket(file.name, undefined, before).fail('This is a folder. Choose the files in it.');
      else if (file) take([file], before);
    }
  });
}
