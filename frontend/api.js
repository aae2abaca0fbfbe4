// Talking to the server: one function a call. Every error that comes out of here has words for the person at the page.

const API = '/api/v1';

/** The server's own refusal; what is thrown otherwise means that no answer came. */
export class Refusal extends Error {
  constructor(status, text, retryAfter) {
    const problem = parsed(text);
    super(problem?.detail || problem?.title || `The server answered ${status}, without a reason.`);
    this.status = status;
    this.code = problem?.code;
    /** What is wrong with a table, the first of them, and how many there are. */
    this.errors = problem?.errors ?? [];
    this.total = problem?.total ?? 0;
    this.seconds = seconds(retryAfter);
  }

  /** Whether the same request may do better later. */
  get mayPass() {
    return [408, 429].includes(this.status) || this.status >= 500 || this.code === 'incomplete-upload';
  }
}

export const pause = seconds => new Promise(done => setTimeout(done, seconds * 1000));

/** `Retry-After` in seconds, at most an hour: it may be a date (RFC 9110, 10.2.3), and a timer can't count for ever. */
function seconds(retryAfter) {
  if (!retryAfter) return null;
  const told = Number.isNaN(Number(retryAfter)) ? (Date.parse(retryAfter) - Date.now()) / 1000 : Number(retryAfter);
  return told > 0 ? Math.min(told, 3600) : null;
}

/** An integer that JavaScript can't hold is kept as it is written, where the browser can. */
const exactly = (_, value, { source } = {}) =>
  Number.isInteger(value) && !Number.isSafeInteger(value) && source && JSON.rawJSON ? JSON.rawJSON(source) : value;

function parsed(text) {
  try { return JSON.parse(text, exactly); } catch { return null; }
}

let enter = null;

/** Where the server asks who comes, `given()` waits until somebody has logged in. */
export const onStranger = given => { enter = given; };

/** Waits until somebody has logged in, if that is all that the server lacks; whether it was. */
export async function comeIn(error) {
  if (!enter || error.code !== 'unauthenticated') return false;
  await enter();
  return true;
}

/** Does what may have to wait for a log-in. */
async function asSomebody(work) {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!await comeIn(error)) throw error;
    }
  }
}

async function askAsIs(path, options) {
  const response = await fetch(path, { cache: 'no-store', ...options });
  const text = await response.text();
  const answer = response.status === 204 ? {} : parsed(text);
  if (!response.ok || !answer) throw new Refusal(response.status, text, response.headers.get('Retry-After'));
  return answer;
}

const ask = (path, options) => asSomebody(() => askAsIs(path, options));

const post = (path, body, headers) =>
  askAsIs(path, { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', ...headers } });

/** A name for what is handed in, so that it is the same task however often it is sent. */
// Not crypto.randomUUID: it is missing where the page comes over plain HTTP from another machine.
export const newKey = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), n => n.toString(16).padStart(8, '0')).join('');

/** What went wrong, for the end of a sentence. */
export const words = error => (error instanceof Refusal ? error.message : 'the server can’t be reached. Try again.');

/** Whether the server asks who comes: it is asked as nobody, whoever is logged in. */
export async function asksWhoComes() {
  return (await fetch(`${API}/tasks?limit=1`, { cache: 'no-store', credentials: 'omit' })).status === 401;
}

/** The task; after `wait` seconds at the latest, even if it has not ended by then. */
export const find = (id, wait = 0) => ask(`${API}/tasks/${id}?wait=${wait}`);

/** `{tasks, next}`: at most `limit` tasks, newest first, of those whose ids are before `after`. */
export const listTasks = (after, limit) => ask(`${API}/tasks?${new URLSearchParams({ after, limit })}`);

/** The task, if it is a table's, and its progress. */
export const findTable = id => ask(`${API}/tables/${id}`);

/** The task that sends those rows of a table again that have failed. */
export const retryTable = (id, key) => ask(`${API}/tables/${id}/retry`, { method: 'POST', headers: { 'Idempotency-Key': key } });

/** Where the rows of a table are, with what came of them; `query` is an object of the API's parameters. */
export const rowsOf = (id, query) => `${API}/tables/${id}/rows?${new URLSearchParams(query)}`;

/** So many rows of a table after the first so many: the API gives them all, but nobody has to read on. */
export const readRows = (...what) => asSomebody(() => readRowsAsIs(...what));

async function readRowsAsIs(id, query, { after, count }, signal) {
  const response = await fetch(rowsOf(id, { ...query, format: 'ndjson' }), { cache: 'no-store', signal });
  if (!response.ok) throw new Refusal(response.status, await response.text(), response.headers.get('Retry-After'));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const rows = [];
  let rest = '';
  for (let number = 0; ;) {
    const { value, done } = await reader.read();
    if (done) return rows;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      number += 1;
      if (number > after) rows.push(JSON.parse(line, exactly));
      if (rows.length < count) continue;
      await reader.cancel();
      return rows;
    }
  }
}

/** `{tasks, next}`: the tasks with that digest, newest first; `next` if there are more. */
export const findByDigest = digest => ask(`${API}/md5?digest=${digest}`);

export const cancel = id => ask(`${API}/tasks/${id}`, { method: 'DELETE' });

/** The user who is logged in here; a refusal with the status 401 if there is none. */
export const whoAmI = () => askAsIs(`${API}/users/me`);

/** How much of what a user may have is taken; null where there is no bound. */
export const askQuotas = () => askAsIs(`${API}/users/me/quotas`);

export const register = (username, password) => post(`${API}/users`, { username, password });

/** The token comes as a cookie that no script sees; the one in the answer is for those without cookies, and is let go. */
export const logIn = async (username, password) => { await post(`${API}/session`, { username, password }); };

export const logOut = () => askAsIs(`${API}/session`, { method: 'DELETE' });

/** The task of a message, given as `{text, provider}`. */
export const postMessage = (message, key) => post(`${API}/messages`, message, { 'Idempotency-Key': key });

/** `{state, remaining, opens_in}` of the free provider. */
export const askFree = () => ask(`${API}/providers/free`);

/** Records of the access log, oldest first; `query` is an object of the API's parameters. */
export const readRecords = (query, signal) => ask(`/api/data?${new URLSearchParams(query)}`, { signal });

/** The access log's numbers. */
export const countRecords = (query, signal) => ask(`/api/data/stats?${new URLSearchParams(query)}`, { signal });

/** Bytes of a file at most whose progress nobody sees: telling it costs more than sending it. */
const SMALL = 256 << 10;

/**
 * Hands a file in, where its `kind` is taken. XMLHttpRequest, because fetch tells no progress.
 * @returns what was begun: a `task` to come, and `abort` to stop it.
 */
export function send(kind, file, key, onProgress) {
  const request = new XMLHttpRequest();
  const task = new Promise((resolve, reject) => {
    const form = new FormData();
    form.append('file', file, file.name);
    request.open('POST', `${API}/${kind}`);
    request.setRequestHeader('Idempotency-Key', key);
    if (file.size > SMALL) {
      request.upload.onprogress = ({ loaded, total }) => onProgress(loaded / total);
      request.upload.onload = () => onProgress(1);
    } else {
      onProgress(1);
    }
    request.onload = () => {
      const answer = parsed(request.responseText);
      if (request.status < 300 && answer?.id) resolve(answer);
      else reject(new Refusal(request.status, request.responseText, request.getResponseHeader('Retry-After')));
    };
    request.onerror = () => reject(new Error('The connection broke off each time. Check it, then try again.'));
    request.onabort = () => reject(new Error('The upload was stopped.'));
    request.send(form);
  });
  return { task, abort: () => request.abort() };
}

/**
 * Follows a task by Server-Sent Events until it has ended, the stream breaks off or `isOver(told)`.
 * @returns {Promise<boolean>} whether the stream has told anything.
 */
export function stream(id, onTask, isOver) {
  return new Promise(resolve => {
    const source = new EventSource(`${API}/tasks/${id}/events`);
    let told = false;
    const end = () => {
      clearInterval(clock);
      source.close(); // Left open, it would connect again for ever, also after the final event.
      resolve(told);
    };
    const clock = setInterval(() => { if (isOver(told)) end(); }, 100);
    source.onerror = end;
    source.onmessage = ({ data }) => {
      const task = parsed(data);
      if (!task) return end();
      told = true;
      onTask(task);
      if (task.finished) end();
    };
  });
}

let back = null;

/** Waits until the server answers again: however many wait, it is asked by one. The page hears `away` and `back`. */
export function untilReachable() {
  back ??= (async () => {
    dispatchEvent(new Event('away'));
    for (let seconds = 0.5; ; seconds = Math.min(seconds * 2, 8)) {
      await Promise.race([pause(seconds), new Promise(done => addEventListener('online', done, { once: true }))]);
      try {
        if ((await fetch('/healthz', { cache: 'no-store', signal: AbortSignal.timeout(5000) })).ok) break;
      } catch { /* Not yet. */ }
    }
    back = null;
    dispatchEvent(new Event('back'));
  })();
  return back;
}
