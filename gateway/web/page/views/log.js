// Log: the newest lines, as they come.

import {get} from '../api.js';
import {h, set, plural, clock} from '../dom.js';

export const events = ['log'];
const most = 1000; // lines that are drawn
const weight = {debug: 0, info: 1, warn: 2, error: 3};

export function open(box) {
  const about = h('p'), search = h('input', {type: 'search', placeholder: 'Filter', 'aria-label': 'Filter lines', oninput: () => draw()});
  const level = h('select', {'aria-label': 'Least level', onchange: () => draw()}, [['debug', 'everything'], ['info', 'info and worse'], ['warn', 'warnings and worse'], ['error', 'errors']].map(([v, t]) => h('option', {value: v, selected: v === 'info'}, t)));
  const hold = h('button', {'aria-pressed': 'false', onclick: () => {
    held = !held;
    hold.setAttribute('aria-pressed', String(held));
    set(hold, held ? 'Go on' : 'Hold');
    if (!held) draw();
  }}, 'Hold');
  const body = h('tbody');
  box.append(h('div', {class: 'top'}, h('div', {}, h('h1', {}, 'Log'), about), h('div', {class: 'tools'}, level, search, hold)),
    h('div', {class: 'card scroll'}, h('table', {class: 'lines'}, h('thead', {}, h('tr', {}, ['Time', 'Level', 'Line'].map(t => h('th', {scope: 'col'}, t)))), body)));
  let lines = [], held = false;

  const row = l => h('tr', {class: l.level}, h('td', {}, clock(l.time)), h('td', {}, l.level), h('td', {}, l.text, ' ', h('span', {class: 'facts'}, l.facts)));
  const fits = l => (weight[l.level] ?? 1) >= weight[level.value] && `${l.text} ${l.facts}`.toLowerCase().includes(search.value.toLowerCase());

  // The newest line is the first.
  function draw() {
    body.replaceChildren(...lines.filter(fits).reverse().map(row));
    set(about, `the newest ${plural(lines.length, 'line')} since the start, the last one first`);
  }
  function take(fresh) {
    const last = lines.at(-1)?.number ?? 0;
    fresh = fresh.filter(l => l.number > last);
    lines.push(...fresh);
    lines = lines.slice(-most);
    if (held || !fresh.length) return;
    body.prepend(...fresh.filter(fits).reverse().map(row));
    while (body.children.length > most) body.lastChild.remove();
    set(about, `the newest ${plural(lines.length, 'line')} since the start, the last one first`);
  }
  return {
    async opened() { lines = (await get('log')).slice(-most); draw(); },
    hear(name, fresh) { if (name === 'log') take(fresh); },
  };
}
