// Elements, and how figures are said.

// h makes an element: h('button', {class: 'main', onclick: f}, 'Save').
export function h(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, v] of Object.entries(attributes || {})) {
    if (v === undefined || v === null || v === false) continue;
    if (name.startsWith('on')) e.addEventListener(name.slice(2), v);
    else if (v === true) e.setAttribute(name, '');
    else e.setAttribute(name, v);
  }
  e.append(...children.flat().filter(c => c !== null && c !== undefined && c !== false));
  return e;
}

// set changes a text only when it is another: a screen reader hears no more than that.
export function set(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

// keyed makes the children of e those of list, one each, and keeps the elements of those that
// were there; make(item) gives {element, update(item)}.
export function keyed(e, list, key, make) {
  const before = e.keyed || new Map(), after = new Map();
  let at = e.firstChild;
  for (const item of list) {
    const k = key(item);
    const row = before.get(k) || make(item);
    row.update(item);
    after.set(k, row);
    if (row.element === at) at = at.nextSibling;
    else e.insertBefore(row.element, at);
  }
  for (const [k, row] of before) if (!after.has(k)) row.element.remove();
  e.keyed = after;
}

const svg = 'http://www.w3.org/2000/svg';

// sparkline draws a short line; gaps stay gaps.
export function sparkline(e, values) {
  if (!values || values.filter(v => v !== null).length < 2) { e.replaceChildren(); return; }
  let low = Infinity, high = -Infinity;
  for (const v of values) if (v !== null) { low = Math.min(low, v); high = Math.max(high, v); }
  const range = high - low || 1;
  let d = '', pen = 'M';
  values.forEach((v, i) => {
    if (v === null) { pen = 'M'; return; }
    d += pen + (i * 110 / (values.length - 1)).toFixed(1) + ' ' + (high === low ? 13 : 24 - (v - low) / range * 22).toFixed(1);
    pen = 'L';
  });
  const path = document.createElementNS(svg, 'path');
  path.setAttribute('d', d);
  e.replaceChildren(path);
}

export function sparkBox() {
  const e = document.createElementNS(svg, 'svg');
  e.setAttribute('class', 'spark');
  e.setAttribute('viewBox', '0 0 110 26');
  e.setAttribute('aria-hidden', 'true');
  return e;
}

export function bytes(n) {
  if (n === null || n === undefined) return 'unknown';
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let u = 0;
  while (n >= 999.5 && u < units.length - 1) { n /= 1000; u++; }
  return (u === 0 ? n : n.toPrecision(3)) + '\u00a0' + units[u];
}

export function count(n) { return (n ?? 0).toLocaleString('en'); }

export function plural(n, what) { return count(n) + ' ' + what + (n === 1 ? '' : 's'); }

// lasting gives seconds in their two largest units.
export function lasting(s) {
  s = Math.max(0, Math.floor(s));
  const d = Math.floor(s / 86400), hours = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  if (d > 0) return `${d} d ${hours} h`;
  if (hours > 0) return `${hours} h ${m} min`;
  if (m > 0) return `${m} min ${s % 60} s`;
  return `${s} s`;
}

export function rate(perSecond) {
  if (!perSecond) return '0 /s';
  if (perSecond >= 100) return count(Math.round(perSecond)) + ' /s';
  if (perSecond >= 0.1) return perSecond.toPrecision(2) + ' /s';
  return (perSecond * 60).toPrecision(2) + ' /min';
}

export function milliseconds(s) {
  const ms = s * 1000;
  if (ms < 1) return Math.round(ms * 1000) + ' µs';
  return ms >= 1000 ? (ms / 1000).toPrecision(3) + ' s' : ms.toPrecision(3) + ' ms';
}

// value gives a point's value as a person reads it.
export function value(v) {
  if (v === null || v === undefined) return '–';
  if (v === true) return 'on';
  if (v === false) return 'off';
  if (typeof v !== 'number') return String(v);
  if (Number.isInteger(v)) return Math.abs(v) < 100000 ? String(v) : v.toLocaleString('en');
  return Number(v.toPrecision(7)).toLocaleString('en', {maximumFractionDigits: 4});
}

export function clock(time) { return new Date(time).toLocaleTimeString('en-GB'); }
