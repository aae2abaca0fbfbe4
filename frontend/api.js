// Calls of the API, one function each. Every error thrown here has a message for the user.

export const API = '/api/v1';

/** The server's rejection of a request; any other error means that no answer came. */
export class Refusal extends Error {
  constructor(status, text, retryAfter) {
    const problem = parsed(text);
    super(problem?.detail || problem?.title || `The server answered ${status}, without a reason.`);
    this.status = status;
    this.code = problem?.code;
    /** The first errors of a table, and the number of all. */
    this.errors = problem?.errors ?? [];
    this.total = problem?.total ?? 0;
    this.seconds = seconds(retryAfter);
  }

  /** Whether the same request may succeed later. */
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

/** `given()` waits for a log-in, if the server requires one. */
export const onStranger = given => { enter = given; };

/** Waits for a log-in, if the error was a missing one. Returns whether it was. */
export async function comeIn(error) {
  if (!enter || error.code !== 'unauthenticated') return false;
  await enter();
  return true;
}

/** Makes a request that may have to wait for a log-in. */
async function asSomebody(work) {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!await comeIn(error)) throw error;
    }
  }
}

/** Makes a request as it is; `ask` also waits for a log-in if it has to. */
export async function askAsIs(path, options) {
  const response = await fetch(path, { cache: 'no-store', ...options });
  const text = await response.text();
  const answer = response.status === 204 ? {} : parsed(text);
  if (!response.ok || !answer) throw new Refusal(response.status, text, response.headers.get('Retry-After'));
  return answer;
}

export const ask = (path, options) => asSomebody(() => askAsIs(path, options));

const post = (path, body, headers) =>
  askAsIs(path, { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', ...headers } });

/** Returns an idempotency key, so that a repeated request is the same task. */
// Not crypto.randomUUID: it is missing where the page comes over plain HTTP from another machine.
export const newKey = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), n => n.toString(16).padStart(8, '0')).join('');

/** Describes an error, for the end of a sentence. */
export const words = error => (error instanceof Refusal ? error.message : 'the server can’t be reached. Try again.');

/** Returns whether the server requires a log-in: it is asked anonymously, even if a user is logged in. */
export async function asksWhoComes() {
  return (await fetch(`${API}/tasks?limit=1`, { cache: 'no-store', credentials: 'omit' })).status === 401;
}

/** Returns the task when it has ended, or after `wait` seconds. */
export const find = (id, wait = 0) => ask(`${API}/tasks/${id}?wait=${wait}`);

/** `{tasks, next}`: at most `limit` tasks, newest first, of those whose ids are before `after`. */
export const listTasks = (after, limit) => ask(`${API}/tasks?${new URLSearchParams({ after, limit })}`);

/** Returns the task of a table, and its progress. */
export const findTable = id => ask(`${API}/tables/${id}`);

/** Returns the task that sends the failed rows of a table again. */
export const retryTable = (id, key) => ask(`${API}/tables/${id}/retry`, { method: 'POST', headers: { 'Idempotency-Key': key } });

/** Returns the address of a table's rows and their results; `query` is an object of the API's parameters. */
export const rowsOf = (id, query) => `${API}/tables/${id}/rows?${new URLSearchParams(query)}`;

/** Returns up to `count` rows of a table after the first `after` ones. The API streams all of them; reading stops early. */
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

/** `{tasks, next}`: the tasks with that digest, newest first; `next` if more follow. */
export const findByDigest = digest => ask(`${API}/md5?digest=${digest}`);

export const cancel = id => ask(`${API}/tasks/${id}`, { method: 'DELETE' });

/** Returns the logged-in user; throws a `Refusal` with status 401 for an anonymous visitor. */
export const whoAmI = () => askAsIs(`${API}/users/me`);

/** Returns how much of the user's limits is used; null without a limit. */
export const askQuotas = () => askAsIs(`${API}/users/me/quotas`);

export const register = (username, password) => post(`${API}/users`, { username, password });

/** Logs in. The token comes as a cookie that scripts can't read; the one in the answer, for clients without cookies, is dropped. */
export const logIn = async (username, password) => { await post(`${API}/session`, { username, password }); };

export const logOut = () => askAsIs(`${API}/session`, { method: 'DELETE' });

/** Sends a message, given as `{text, provider}`, and returns its task. */
export const postMessage = (message, key) => post(`${API}/messages`, message, { 'Idempotency-Key': key });

/** `{state, remaining, opens_in}` of the free provider. */
export const askFree = () => ask(`${API}/providers/free`);

/** Records of the access log, oldest first; `query` is an object of the API's parameters. */
export const readRecords = (query, signal) => ask(`/api/data?${new URLSearchParams(query)}`, { signal });

/** The access log's numbers. */
export const countRecords = (query, signal) => ask(`/api/data/stats?${new URLSearchParams(query)}`, { signal });

/** The size in bytes up to which progress is not shown: showing it costs more than sending the file. */
const SMALL = 256 << 10;

/**
 * Hands a file in at the address of its `kind`. XMLHttpRequest, because fetch reports no progress.
 * @returns a promise of the `task`, and `abort` to stop the upload.
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
 * @returns {Promise<boolean>} whether the stream has sent anything.
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

/** Waits until the server answers again; one loop asks for all callers. The page gets the events `away` and `back`. */
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
