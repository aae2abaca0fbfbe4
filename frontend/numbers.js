// The access log in numbers: a sentence, a chart, and the most frequent addresses and URIs.

/* global uPlot */

import { $, count, counted, set } from './dom.js';
import { oneLine } from './text.js';

const MINUTE = 60; // Times are seconds here, as uPlot has them.
/** The most minutes that the server returns, counting only those with requests. */
const MINUTES_TOLD = 1441;
/** The least width of a bar with its gap, in pixels. */
const BAR = 8;
const STEPS = [1, 5, 10, 15, 30, 60, 180, 360, 720, 1440].map(minutes => minutes * MINUTE);
const HEIGHT = 180;

const hour = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const day = new Intl.DateTimeFormat('en', { month: 'short', day: 'numeric' });
const moment = time => `${day.format(time)}, ${hour.format(time)}`;
const short = new Intl.NumberFormat('en', { notation: 'compact' });
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name);

let chart = null;
/** Each bar begins and ends with its time; the first and the last may be cut off. */
let bars = { step: MINUTE, starts: [], ends: [], counts: [], from: 0, to: 0 };

/** Shows the server's counts; `words` name the time, `hrefOf` returns the page's address with one more filter. */
export function showNumbers(stats, words, hrefOf) {
  $('#numbers').hidden = !stats.requests;
  if (!stats.requests) return;
  bars = gathered(stats);
  set($('#summary'), summary(stats, words));
  set($('#per'), `Requests per ${lengthOf(bars.step)}`);
  draw();

  const classes = stats.status_classes.map(({ class: name, requests }) => {
    const share = (100 * requests / stats.requests).toLocaleString('en', { maximumFractionDigits: requests * 10 < stats.requests ? 1 : 0 });
    return { name, requests, told: `${count(requests)} · ${share} %`, href: hrefOf({ status_code: name }), kind: name[0] };
  });
  showBars($('#classes tbody'), classes);
  showBars($('#ips tbody'), stats.ips.map(({ ip, requests }) => ({ name: ip, requests, href: hrefOf({ ip }) })));
  showBars($('#uris tbody'), stats.uris.map(({ uri, requests }) => ({ name: uri, requests, href: hrefOf({ uri }) })));
}

function lengthOf(step) {
  const [unit, seconds] = step < 3600 ? ['minute', MINUTE] : step < 86400 ? ['hour', 3600] : ['day', 86400];
  return step === seconds ? unit : `${step / seconds} ${unit}s`;
}

function summary({ requests, minutes, status_classes: classes }, words) {
  const busiest = minutes.reduce((most, one) => (one.requests > most.requests ? one : most));
  const of = name => classes.find(one => one.class === name)?.requests ?? 0;
  return `${counted(requests, 'request')} ${words}; ${count(busiest.requests)} in the busiest minute, `
    + `${moment(new Date(busiest.minute))}. ${count(of('4xx'))} with a status of 4xx, ${count(of('5xx'))} of 5xx.`;
}

/** Groups minutes into bars that are wide enough. */
function gathered({ date_from, date_to, minutes }) {
  const seconds = time => Date.parse(time) / 1000;
  const first = seconds(minutes[0].minute);
  const to = Math.max(seconds(date_to), first + MINUTE);
  // “All” begins with the first record; the server may have left out earlier minutes.
  const isWhole = minutes.length < MINUTES_TOLD && seconds(date_from) > 0;
  const from = isWhole ? seconds(date_from) : first;
  const wanted = (to - from) * BAR / $('#chart').clientWidth;
  const step = STEPS.find(step => step >= wanted) ?? Math.ceil(wanted / 86400) * 86400;
  // Hours and days begin by the local clock.
  const shift = step > MINUTE ? new Date(to * 1000).getTimezoneOffset() * MINUTE : 0;
  const sums = new Map();
  for (const { minute, requests } of minutes) {
    const at = Math.floor((seconds(minute) - shift) / step) * step + shift;
    sums.set(at, (sums.get(at) ?? 0) + requests);
  }
  const starts = [...sums.keys()].map(at => Math.max(at, from));
  const ends = [...sums.keys()].map(at => Math.min(at + step, to));
  return { step, starts, ends, counts: [...sums.values()], from, to };
}

function draw() {
  const box = $('#chart');
  // The pointer selects the bar whose middle is nearest.
  const data = [bars.starts.map((start, at) => (start + bars.ends[at]) / 2), bars.counts];
  if (chart) return chart.setData(data);
  const axis = { stroke: () => colour('--soft'), font: '12px system-ui, sans-serif', grid: { stroke: () => colour('--line'), width: 1 }, ticks: { show: false } };
  chart = new uPlot({
    width: box.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false }, points: { show: false } },
    scales: {
      x: { range: () => [bars.from, bars.to] },
      y: { range: (_, low, high) => [0, Math.max(high * 1.08, 1)] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 26, space: 70, values: (_, times, _axis, _space, step) => times.map((time, number) => words(time, step, number)) },
      { ...axis, size: 44, space: 40, values: (_, values) => values.map(n => (Number.isInteger(n) ? short.format(n) : '')) },
    ],
    series: [{}, {
      fill: () => colour('--accent'),
      width: 0,
      points: { show: false },
      paths: asBars,
    }],
    hooks: { setCursor: [({ cursor: { idx, left } }) => set($('#point'), left < 0 || idx === null ? '' : pointed(idx))] },
  }, data, box);
  new ResizeObserver(() => chart.setSize({ width: box.clientWidth, height: HEIGHT })).observe(box);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => chart.redraw());
}

/** Returns the bars' outlines, each as wide as its time is long. uPlot's own bars are all of one width. */
function asBars(plot) {
  const fill = new Path2D();
  const bottom = plot.valToPos(0, 'y', true);
  bars.starts.forEach((start, at) => {
    const [left, right] = [start, bars.ends[at]].map(time => plot.valToPos(time, 'x', true));
    const top = plot.valToPos(bars.counts[at], 'y', true);
    fill.rect(left, top, Math.max(right - left - devicePixelRatio, 1), bottom - top);
  });
  return { stroke: null, fill, clip: null, band: null, gaps: null, flags: 0 };
}

/** Formats a time under the chart; the first one includes the day if there are several days. */
function words(time, step, number) {
  const date = new Date(time * 1000);
  if (step >= 86400) return day.format(date);
  return number === 0 && bars.to - bars.from > 86400 ? moment(date) : hour.format(date);
}

const pointed = at => `${moment(bars.starts[at] * 1000)}: ${count(bars.counts[at])}`;

/** Shows rows of a name, a bar and a number. They are changed in place, so that a focused link keeps the focus. */
function showBars(rows, all) {
  const most = Math.max(...all.map(({ requests }) => requests));
  fit(rows, all.length, $('#top-row'));
  all.forEach(({ name, requests, told = count(requests), href, kind }, at) => {
    const row = rows.children[at];
    const link = $('a', row);
    if (kind) row.dataset.class = kind;
    link.href = href;
    link.title = oneLine(name);
    set($('bdi', row), oneLine(name));
    set($('td', row), told);
    $('.bar', row).style.width = `${100 * requests / most}%`;
  });
}

function fit(list, length, template) {
  while (list.children.length > length) list.lastChild.remove();
  while (list.children.length < length) list.append(template.content.cloneNode(true));
}
