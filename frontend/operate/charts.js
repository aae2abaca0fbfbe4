// Throughput and waiting times as charts, and in words for those who don't see them.

/* global uPlot */

import { $, count, set } from '../dom.js';
import { askStats, listKinds } from './calls.js';
import { keep } from './live.js';
import { lasting, now } from './times.js';

/** The spans: their seconds, those of a step, and words. Steps are whole minutes. */
const SPANS = { '1h': [3600, 60, 'in the last hour'], '1d': [86_400, 600, 'in the last day'], '7d': [7 * 86_400, 3600, 'in the last 7 days'] };
const HEIGHT = 170;
const PERIOD = 15;

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
  await offerKinds();
  gather(stats.series.filter(one => !kind.value || one.kind === kind.value), { first, last, step });
  tell(words);
  for (const name of Object.keys(CHARTS)) draw(name);
}

async function offerKinds() {
  if (kind.options.length > 1) return;
  for (const one of await listKinds()) kind.append(new Option(one.kind, one.kind));
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
  words.ends = `${sum('accepted')} accepted, ${sum('succeeded')} succeeded, ${sum('failed')} failed and ${sum('cancelled')} cancelled ${time}. The last step is not over.`;
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

const moment = at => `${steps.step * steps.at.length > 86_400 ? `${day.format(at * 1000)}, ` : ''}${hour.format(at * 1000)}`;

/** Shows the values at the pointer in place of the words. */
function point(name, place) {
  const { lines, told } = CHARTS[name];
  const values = Object.keys(lines).filter(line => steps[line][place] !== null);
  const texts = values.map(line => (LINE_WORDS[line] ? `${LINE_WORDS[line]} ${told(steps[line][place])}` : `${told(steps[line][place])} ${line}`));
  set($(`#${name}-words`), `${moment(steps.at[place])}: ${texts.join(', ') || 'none'}`);
}

function draw(name) {
  const chart = CHARTS[name];
  const { lines } = chart;
  const data = [steps.at, ...Object.keys(lines).map(line => steps[line])];
  if (chart.plot) return chart.plot.setData(data);
  const box = $(`#${name}-chart`);
  $(`#${name}-key`).replaceChildren(...Object.keys(lines).map(line => {
    const entry = document.createElement('span');
    [entry.dataset.line, entry.textContent] = [line, LINE_WORDS[line]?.replace(' up to', '') ?? line];
    return entry;
  }));
  const axis = { stroke: () => colour('--soft'), font: '12px system-ui, sans-serif', grid: { stroke: () => colour('--line'), width: 1 }, ticks: { show: false } };
  const paths = name === 'ends' ? uPlot.paths.stepped({ align: 1 }) : undefined;
  chart.plot = new uPlot({
    width: box.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false }, sync: { key: 'operate' } },
    scales: {
      x: { range: () => [steps.at[0], steps.at.at(-1) + steps.step] },
      y: { range: (_, low, high) => [0, Math.max(high * 1.08, name === 'ends' ? 1 : 0.001)] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 26, space: 80, values: (_, times) => times.map(time => moment(time)) },
      { ...axis, size: 58, space: 40, values: (_, values) => values.map(chart.axis) },
    ],
    series: [{}, ...Object.entries(lines).map(([line, stroke]) => ({ stroke: () => colour(stroke), ...(line === 'accepted' && { fill: () => colour('--tint') }), width: line === 'accepted' ? 1 : 2, paths, spanGaps: false, points: { show: name === 'waits', size: 4 } }))],
    hooks: { setCursor: [({ cursor: { idx, left } }) => (left < 0 || idx === null ? set($(`#${name}-words`), words[name]) : point(name, idx))] },
  }, data, box);
  new ResizeObserver(() => chart.plot.setSize({ width: box.clientWidth, height: HEIGHT })).observe(box);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => chart.plot.redraw());
}
