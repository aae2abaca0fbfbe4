// Throughput and waiting times as charts, and in words for those who don't see them.

/* global uPlot */

import { $, count, set } from '../dom.js';
import { askStats } from './calls.js';
import { keep } from './live.js';
import { offerKinds } from './page.js';
import { lasting, now } from './times.js';

/** The spans: their seconds, those of a step, and words. Steps are whole minutes. */
const SPANS = { '1h': [3600, 60, 'in the last hour'], '1d': [86_400, 600, 'in the last day'], '7d': [7 * 86_400, 3600, 'in the last 7 days'] };
const HEIGHT = 170;
const PERIOD = 15;
/** The most steps whose points are drawn, each as a dot; of more only those that stand alone. */
const DOTS = 60;
const DAY = 86_400;
/** The steps between two marks of time, within a day. */
const TICKS = [60, 300, 600, 900, 1800, 3600, 2 * 3600, 3 * 3600, 6 * 3600, 12 * 3600];
/** Where the scale of waits begins, and its marks: seconds. */
const SHORTEST = 0.001;
const MARKS = [SHORTEST, 0.01, 0.1, 1, 10, 60, 600, 3600, 36_000, DAY, 10 * DAY];

const hour = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const day = new Intl.DateTimeFormat('en', { month: 'short', day: 'numeric' });
const short = new Intl.NumberFormat('en', { notation: 'compact' });
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name);

const kind = $('#chart-kind');
const span = $('#chart-span');

/** The charts' parts: where they are, their lines with their colours, and how a value is told. */
const CHARTS = {
  ends: { lines: { accepted: '--soft', succeeded: '--good', failed: '--bad' }, told: count, axis: n => (Number.isInteger(n) ? short.format(n) : '') },
  waits: { lines: { p50: '--soft', p95: '--accent' }, told: lasting, axis: lasting },
};
const LINE_WORDS = { p50: 'half up to', p95: '95 of 100 up to' };

/** The numbers by step: times in seconds, and the lines' values. */
let steps = null;
let run = null;

/** Keeps the charts current until the signal is aborted. */
export function showCharts(signal) {
  const begin = () => {
    run?.abort();
    run = new AbortController();
    keep(AbortSignal.any([signal, run.signal]), PERIOD, read);
  };
  kind.onchange = span.onchange = begin;
  begin();
}

async function read() {
  const [length, step, words] = SPANS[span.value];
  const last = Math.floor(now() / 1000 / step) * step;
  const first = last - length + step;
  const stats = await askStats({ from: new Date(first * 1000).toISOString(), step });
  await offerKinds(kind);
  gather(stats.series.filter(one => !kind.value || one.kind === kind.value), { first, last, step });
  tell(words);
  for (const name of Object.keys(CHARTS)) draw(name);
}

/** Sums the points of a step. Waiting times of several kinds are those of the slowest one: quantiles have no sum. */
function gather(series, { first, last, step }) {
  const length = Math.round((last - first) / step) + 1;
  const line = value => new Array(length).fill(value);
  steps = { step, at: line(0).map((_, place) => first + place * step), accepted: line(0), succeeded: line(0), failed: line(0), cancelled: line(0), p50: line(null), p95: line(null) };
  for (const point of series) {
    const place = Math.round((Date.parse(point.at) / 1000 - first) / step);
    if (place < 0 || place >= length) continue;
    for (const name of ['accepted', 'succeeded', 'failed', 'cancelled']) steps[name][place] += point[name];
    for (const name of ['p50', 'p95']) {
      const value = point[`wait_${name}`];
      if (value !== null) steps[name][place] = Math.max(steps[name][place] ?? 0, value);
    }
  }
}

const words = {};

/** Sums the charts up in words. */
function tell(time) {
  const sum = name => count(steps[name].reduce((all, one) => all + one, 0));
  words.ends = `${sum('accepted')} accepted, ${sum('succeeded')} succeeded, ${sum('failed')} failed and ${sum('cancelled')} cancelled ${time}. The chart ends with the last step that is over.`;
  const at = steps.p95.findLastIndex(value => value !== null);
  const most = steps.p95.reduce((most, one, place) => (one > (steps.p95[most] ?? -1) ? place : most), at);
  const whose = kind.value ? '' : ' Of several kinds, the slowest counts.';
  words.waits = at < 0
    ? `No task began ${time}.`
    : `Last, half waited up to ${lasting(steps.p50[at])} and 95 of 100 up to ${lasting(steps.p95[at])}; at most ${lasting(steps.p95[most])} at ${moment(steps.at[most])}.${whose}`;
  for (const name of Object.keys(CHARTS)) set($(`#${name}-words`), words[name]);
  const [unit, each] = steps.step < 3600 ? ['minute', 60] : ['hour', 3600];
  set($('#ends-title'), `Tasks in each ${steps.step === each ? unit : `${steps.step / each} ${unit}s`}`);
}

/** Whether the span is so long that its marks are days. */
const areDays = () => steps.step >= 3600;

const moment = at => `${steps.step * steps.at.length > DAY ? `${day.format(at * 1000)}, ` : ''}${hour.format(at * 1000)}`;

/** Shows the values at the pointer in place of the words. */
function point(name, place) {
  const { lines, told } = CHARTS[name];
  const values = Object.keys(lines).filter(line => steps[line][place] !== null);
  const texts = values.map(line => (LINE_WORDS[line] ? `${LINE_WORDS[line]} ${told(steps[line][place])}` : `${told(steps[line][place])} ${line}`));
  set($(`#${name}-words`), `${moment(steps.at[place])}: ${texts.join(', ') || 'none'}`);
}

/** Returns what a chart shows: the steps that are over, without the zeros of failures, which would hide the line below. */
function shownOf(name) {
  const value = {
    failed: count => count || null,
    p50: seconds => seconds && Math.max(seconds, SHORTEST),
    p95: seconds => seconds && Math.max(seconds, SHORTEST),
  };
  const whole = line => steps[line].slice(0, -1);
  return [whole('at'), ...Object.keys(CHARTS[name].lines).map(line => whole(line).map(value[line] ?? (one => one)))];
}

/** Returns the places of the values that are drawn as dots. */
function dotsOf(name, { data }, series) {
  const values = data[series];
  const isAlone = place => values[place - 1] == null && values[place + 1] == null;
  const areAll = name === 'waits' && values.length <= DOTS;
  return values.flatMap((value, place) => (value !== null && (areAll || isAlone(place)) ? [place] : []));
}

function draw(name) {
  const chart = CHARTS[name];
  const { lines } = chart;
  const data = shownOf(name);
  if (chart.plot) return chart.plot.setData(data);
  const box = $(`#${name}-chart`);
  $(`#${name}-key`).replaceChildren(...Object.keys(lines).map(line => {
    const entry = document.createElement('span');
    [entry.dataset.line, entry.textContent] = [line, LINE_WORDS[line]?.replace(' up to', '') ?? line];
    return entry;
  }));
  const axis = { stroke: () => colour('--soft'), font: '12px system-ui, sans-serif', grid: { stroke: () => colour('--line'), width: 1 }, ticks: { show: false } };
  const isCount = name === 'ends';
  const paths = isCount ? uPlot.paths.stepped({ align: 1 }) : undefined;
  // Waits are from a millisecond to days long, so their scale is logarithmic.
  const counts = { y: { range: (_, low, high) => [0, Math.max(high * 1.08, 1)] } };
  const waits = { y: { distr: 3, range: (_, low, high) => [SHORTEST, Math.max((high ?? 0) * 1.5, 10 * SHORTEST)] } };
  const marks = { splits: (_, place, low, high) => MARKS.filter(mark => mark >= low && mark <= high), filter: (_, splits) => splits };
  chart.plot = new uPlot({
    width: box.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    padding: [8, 28, 0, 0],
    cursor: { y: false, drag: { x: false }, sync: { key: 'operate' } },
    scales: { x: { range: () => [steps.at[0], steps.at.at(-1)] }, ...(isCount ? counts : waits) },
    axes: [
      { ...axis, grid: { show: false }, size: 26, space: 80, incrs: () => (areDays() ? [DAY, 2 * DAY, 4 * DAY] : TICKS), values: (_, times) => times.map(time => (areDays() ? day.format(time * 1000) : moment(time))) },
      { ...axis, size: 58, space: 40, values: (_, values) => values.map(chart.axis), ...(!isCount && marks) },
    ],
    series: [{}, ...Object.entries(lines).map(([line, stroke]) => ({ stroke: () => colour(stroke), ...(line === 'accepted' && { fill: () => colour('--area') }), width: line === 'accepted' ? 1 : 2, paths, spanGaps: false, points: { show: true, size: isCount ? 6 : 4, filter: (plot, series) => dotsOf(name, plot, series) } }))],
    hooks: { setCursor: [({ cursor: { idx, left } }) => (left < 0 || idx === null ? set($(`#${name}-words`), words[name]) : point(name, idx))] },
  }, data, box);
  new ResizeObserver(() => chart.plot.setSize({ width: box.clientWidth, height: HEIGHT })).observe(box);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => chart.plot.redraw());
}
