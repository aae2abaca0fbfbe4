// The calls of operators, one function each.

import { API, Refusal, ask, askAsIs, newKey, whoAmI } from '../api.js';

const json = (method, body) => ({ method, body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } });
const by = (method, path) => ask(`${API}/${path}`, { method });

/** A user that does not exist. */
const OTHER = '00000000-0000-4000-8000-000000000000';

/** `{may, why}`: whether the visitor may change things that are not their own, and the server's reason if not. */
export async function askWhetherChanges() {
  // A count of another user's tasks that an act would change needs what the act needs, and changes nothing.
  try {
    await bulk('cancel', { owner: OTHER });
    return { may: true };
  } catch (error) {
    if (error.status === 403) return { may: false, why: error.message };
    throw error;
  }
}

/** Returns the user's rights; none for an anonymous visitor. */
export async function askRights() {
  try {
    return (await whoAmI()).rights;
  } catch (error) {
    if (error.status === 401) return [];
    throw error;
  }
}

export const listKinds = async () => (await ask(`${API}/kinds`)).kinds;
export const pauseKind = kind => by('PUT', `kinds/${kind}/pause`);
export const resumeKind = kind => by('DELETE', `kinds/${kind}/pause`);

export const listWorkers = async () => (await ask(`${API}/workers`)).workers;
export const drain = id => by('PUT', `workers/${id}/drain`);
export const undrain = id => by('DELETE', `workers/${id}/drain`);

/** `{tasks, next, total, total_at_least}`; `query` is an object of the API's parameters. */
export const searchTasks = (query, signal) => ask(`${API}/tasks?${new URLSearchParams(query)}`, { signal });
/** `{attempts, retries}` of a task. */
export const listAttempts = (id, signal) => ask(`${API}/tasks/${id}/attempts`, { signal });
export const retryTask = id => ask(`${API}/tasks/${id}/retry`, { method: 'POST', headers: { 'Idempotency-Key': newKey() } });
export const purgeTask = id => by('DELETE', `tasks/${id}?purge=true`);

/** Counts the tasks that an act on many would change: `{eligible, at_least, confirm}`. With `confirm` it changes them, and returns its task. */
export const bulk = (action, filter, confirm) => ask(`${API}/tasks/bulk`, json('POST', { action, filter, ...(confirm && { confirm }) }));

export const askStats = query => ask(`${API}/stats?${new URLSearchParams(query)}`);
export const readAudit = query => ask(`${API}/audit?${new URLSearchParams(query)}`);

/** The state of each part; also of a server that is not ready. */
export async function askParts() {
  const response = await fetch('/readyz', { cache: 'no-store' });
  if (![200, 503].includes(response.status)) throw new Refusal(response.status, await response.text(), null);
  return response.json();
}

// Without the wait for a log-in: where none is required, these need one all the same.
export const listUsers = query => askAsIs(`${API}/users?${new URLSearchParams(query)}`);
export const setRight = (id, right, isGranted) => askAsIs(`${API}/users/${id}/rights/${right}`, { method: isGranted ? 'PUT' : 'DELETE' });
export const setDisabled = (id, isDisabled) => askAsIs(`${API}/users/${id}/disabled`, { method: isDisabled ? 'PUT' : 'DELETE' });
export const endSessions = id => askAsIs(`${API}/users/${id}/sessions`, { method: 'DELETE' });
export const listKeys = () => askAsIs(`${API}/keys`);
export const makeKey = name => askAsIs(`${API}/keys`, json('POST', { name }));
export const revokeKey = id => askAsIs(`${API}/keys/${id}`, { method: 'DELETE' });
