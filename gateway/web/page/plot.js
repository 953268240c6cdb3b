// Plots, by uPlot, which is fetched with the first one.

let loading = null;

function load() {
  loading ??= Promise.all([import('./uplot.js'), new Promise(done => {
    const link = document.createElement('link');
    link.rel = 'stylesheet';
    link.href = 'uplot.css';
    link.onload = link.onerror = done;
    document.head.append(link);
  })]).then(([module]) => module.default);
  return loading;
}

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// plot draws data, [times in s, one list of numbers for each of lines], into box, and gives {set(data), end()}.
// band: the first two are the least and the greatest of each time.
export async function plot(box, lines, data, {band = false, unit = '', height = 260} = {}) {
  const uPlot = await load();
  const axis = {stroke: () => colour('--soft'), grid: {stroke: () => colour('--line'), width: 1}, ticks: {stroke: () => colour('--line'), width: 1}};
  const strokes = ['--water', '--warn'];
  const u = new uPlot({
    width: box.clientWidth || 600, height, cursor: {y: false, drag: {x: true, y: false}}, legend: {live: true},
    series: [{value: (_, t) => t ? new Date(t * 1000).toLocaleTimeString('en-GB') : ''},
      ...lines.map((label, i) => ({label, stroke: () => colour(strokes[band ? 0 : i]), width: 1.5, points: {show: false}, value: (_, v) => v === null || v === undefined ? '–' : `${Number(v.toPrecision(6))} ${unit}`}))],
    bands: band ? [{series: [2, 1], fill: () => colour('--wash')}] : [],
    axes: [{...axis, space: 80, incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400], values: (_, times, _axis, _space, step) => times.map(t => new Date(t * 1000).toLocaleTimeString('en-GB').slice(0, step < 60 ? 8 : 5))}, {...axis, size: 64}],
  }, data, box);
  const resize = new ResizeObserver(() => u.setSize({width: box.clientWidth, height}));
  resize.observe(box);
  return {set: d => u.setData(d), end() { resize.disconnect(); u.destroy(); }};
}
