// Times: relative ones that go on by themselves, and lengths.

const UNITS = [[86_400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
const date = new Intl.DateTimeFormat('en', { year: 'numeric', month: 'short', day: 'numeric' });
const exact = new Intl.DateTimeFormat('en', {
  year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23', timeZoneName: 'short',
});
const minute = new Intl.DateTimeFormat('en', { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
/** The age in seconds from which a date is shown instead. */
const OLD = 14 * 86_400;

/** The server's clock minus this device's, in milliseconds. */
let offset = 0;

/** The server's time. */
export const now = () => Date.now() + offset;

/** Compares the clocks, to the second; small differences are the network's. */
export async function compareClocks() {
  const told = Date.parse((await fetch('/healthz', { cache: 'no-store' })).headers.get('Date'));
  const apart = told - Date.now();
  offset = Math.abs(apart) > 2000 ? apart : 0;
}

/** Formats a length in seconds in up to two units. */
export function lasting(seconds) {
  if (seconds < 0.0005) return '< 1 ms';
  if (seconds < 0.9995) return `${(seconds * 1000).toLocaleString('en', { maximumFractionDigits: seconds < 0.01 ? 1 : 0 })} ms`;
  if (seconds < 59.95) return `${seconds.toLocaleString('en', { maximumFractionDigits: 1 })} s`;
  const at = UNITS.findIndex(([length]) => seconds >= length);
  const [[length, unit], [less, lesser]] = [UNITS[at], UNITS[at + 1]];
  const rest = Math.floor(seconds % length / less);
  return `${Math.floor(seconds / length).toLocaleString('en')} ${unit}${rest ? ` ${rest} ${lesser}` : ''}`;
}

/** Formats a length that goes on, in whole seconds. */
export const lastingSoFar = seconds => (seconds < 1 ? '< 1 s' : lasting(Math.floor(seconds)));

/** Returns whether a text is a time. */
const isTime = time => !Number.isNaN(Date.parse(time));

/** Formats a time to the second, on this device's clock and with its zone. */
export const moment = time => (isTime(time) ? exact.format(new Date(time)) : time);

/** Formats a time of these days to the minute, on this device's clock. */
export const momentToday = time => minute.format(new Date(time));

/** Returns the seconds from one time to another, which is now if it is null. */
export const between = (from, to) => Math.max(0, ((to ? Date.parse(to) : now()) - Date.parse(from)) / 1000);

function ago(time) {
  const seconds = between(time);
  if (seconds < 1) return 'now';
  if (seconds > OLD) return date.format(new Date(time));
  const [length, unit] = UNITS.find(([length]) => seconds >= length);
  return `${Math.floor(seconds / length)} ${unit} ago`;
}

const WORDS = {
  ago,
  for: time => lastingSoFar(between(time)),
  in: time => {
    const left = Math.ceil((Date.parse(time) - now()) / 1000);
    return left > 0 ? `in ${lasting(left)}` : 'now';
  },
};

function refresh(element) {
  const words = WORDS[element.dataset.form](element.dateTime);
  if (element.textContent !== words) element.textContent = words;
}

/** Shows a time as long `ago`, as lasting `for` so long, or as `in` so long; nothing for null. */
export function showTime(element, time, form = 'ago') {
  if (!time) {
    element.removeAttribute('datetime');
    element.removeAttribute('title');
    element.textContent = '';
    return;
  }
  if (element.dateTime !== time) [element.dateTime, element.title] = [time, time];
  element.dataset.form = form;
  refresh(element);
}

setInterval(() => {
  if (!document.hidden) document.querySelectorAll('main section:not([hidden]) time[datetime]').forEach(refresh);
}, 1000);
