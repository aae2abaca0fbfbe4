// Times: relative ones that go on by themselves, and lengths.

const UNITS = [[86_400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
const date = new Intl.DateTimeFormat('en', { year: 'numeric', month: 'short', day: 'numeric' });
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
  if (seconds < 0.0005) return '0 ms';
  if (seconds < 0.9995) return `${(seconds * 1000).toLocaleString('en', { maximumFractionDigits: seconds < 0.01 ? 1 : 0 })} ms`;
  if (seconds < 59.95) return `${seconds.toLocaleString('en', { maximumFractionDigits: 1 })} s`;
  const at = UNITS.findIndex(([length]) => seconds >= length);
  const [[length, unit], [less, lesser]] = [UNITS[at], UNITS[at + 1]];
  const rest = Math.floor(seconds % length / less);
  return `${Math.floor(seconds / length).toLocaleString('en')} ${unit}${rest ? ` ${rest} ${lesser}` : ''}`;
}

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
  for: time => lasting(Math.floor(between(time))),
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
