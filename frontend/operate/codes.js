// The codes of failed tasks: what to do about each, in short.

/** As docs/how-to/alerts.md says. */
export const ADVICE = {
  'worker-lost': 'Workers died while they had it, most likely because of it. Look for the out-of-memory killer in the kernel’s log.',
  'blob-missing': 'The upload is not where it was stored. If its folder is back, retry; else the client hands the file in again.',
  'blob-corrupt': 'The upload has changed since it was stored. Check the disk. If the file is whole again, retry; else the client hands it in again.',
  io: 'The upload could not be read in any attempt. Check the disk, then retry.',
  'provider-rejected': 'The provider will not take it. Its answer says why.',
  'provider-unavailable': 'The provider failed in every attempt. Retry when it works again.',
  'row-not-kept': 'A row’s answer could not be written. Check the database, then retry.',
  'paid-not-allowed': 'The owner lacks the right “paid”. Grant it, then retry.',
  internal: 'The worker’s log has the cause.',
};
