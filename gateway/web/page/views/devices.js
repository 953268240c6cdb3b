// Devices: every point as it stands; a click gives its last hour, and writes it where that is allowed.

import {get, post} from '../api.js';
import {h, set, keyed, milliseconds, sparkline, sparkBox, value, lasting, plural, count} from '../dom.js';
import {plot} from '../plot.js';

export const events = ['devices'];

export function open(box, app) {
  const about = h('p'), search = h('input', {type: 'search', placeholder: 'Filter', 'aria-label': 'Filter devices and points', oninput: () => filter()});
  const bad = h('input', {type: 'checkbox', onchange: () => filter()});
  const all = h('div'), links = h('div', {class: 'grid four'});
  box.append(h('div', {class: 'top'}, h('div', {}, h('h1', {}, 'Devices'), about), h('div', {class: 'tools'}, search, h('label', {}, bad, 'only what is not good'))), links, all);
  let devices = [], skew = 0, shown = null, timer = 0, layout = null;

  async function opened() {
    const list = await get('devices');
    skew = Date.parse(list.time) - Date.now();
    keyed(links, list.links, l => l.name, makeLink);
    if (list.layout === layout) { renew(list.devices); return; }
    // Others than before, after a reload: what was shown of the old ones ends.
    if (layout !== null) document.querySelector('dialog')?.close();
    layout = list.layout;
    devices = list.devices.map(makeDevice);
    all.replaceChildren(...devices.map(d => d.element));
    if (devices.length === 0) all.replaceChildren(h('p', {class: 'soft'}, 'There is no device: add a [[modbus]] or [[serial]] table to the configuration.'));
    sum();
    filter();
    sparks();
    clearInterval(timer);
    timer = setInterval(sparks, 60000);
    const wanted = decodeURIComponent(location.hash).split('/').slice(2).join('/');
    if (wanted && !shown) for (const d of devices) for (const p of d.points) if (`${d.is.name}/${p.is.name}` === wanted) show(d, p);
  }

  // renew brings all up to date after a loss of the connection.
  function renew(list) {
    devices.forEach((d, i) => {
      const {points, ...is} = list[i];
      Object.assign(d.is, is);
      d.say();
      d.points.forEach((p, j) => {
        Object.assign(p.is, points[j]);
        p.time = p.is.time ? Date.parse(p.is.time) : 0;
        p.say();
        p.old();
      });
    });
    shown?.say();
    sum();
    filter();
    sparks();
  }

  async function sparks() {
    const lines = await get('sparklines').catch(() => []);
    lines.forEach((of, i) => of.forEach((line, j) => {
      const p = devices[i]?.points[j];
      if (p) sparkline(p.spark, line);
    }));
  }

  function sum() {
    const points = devices.flatMap(d => d.points), good = points.filter(p => p.is.quality === 'good').length;
    set(about, `${plural(devices.length, 'device')}, ${plural(points.length, 'point')}, ${count(good)} of them good`);
  }

  function filter() {
    const text = search.value.toLowerCase();
    for (const d of devices) {
      let any = false;
      for (const p of d.points) {
        const fits = `${d.is.name}/${p.is.name} ${p.is.topic}`.toLowerCase().includes(text) && (!bad.checked || p.is.quality !== 'good');
        p.row.hidden = !fits;
        any ||= fits;
      }
      d.element.hidden = !any && (text !== '' || bad.checked) && !(bad.checked && !d.is.online);
    }
  }

  // makeLink is a card of a line: whether it is open, and how busy.
  function makeLink(l) {
    const pill = h('span', {class: 'pill push'}), load = h('div', {class: 'big'}), bar = h('i'), barBox = h('div', {class: 'bar', 'aria-hidden': 'true'}, bar), text = h('p', {class: 'soft'}), reason = h('p', {class: 'badtext'});
    return {element: h('section', {class: 'card', 'aria-label': 'Link ' + l.name}, h('div', {class: 'head'}, h('h2', {}, l.name), pill), h('p', {class: 'soft mono cut', title: l.url}, l.url), load, barBox, text, reason), update(l) {
      set(pill, l.open ? 'open' : l.reason ? 'down' : 'not open yet');
      pill.className = 'pill push ' + (l.open ? 'good' : l.reason ? 'bad' : '');
      const share = l.load === null ? null : Math.round(l.load * 100);
      set(load, share === null ? l.open ? 'load not known yet' : '–' : `${share} % busy`);
      bar.style.width = (share || 0) + '%';
      barBox.className = 'bar' + (share > 90 ? ' high' : '');
      set(text, `${plural(l.devices, 'device')}, ${plural(l.requests, 'request')}, ${count(l.timeouts)} without an answer${l.discarded ? `, ${count(l.discarded)} bytes of noise` : ''}`);
      set(reason, l.open ? '' : l.reason);
    }};
  }

  function makeDevice(is) {
    const pill = h('span', {class: 'pill'}), facts = h('span', {class: 'soft push'}), reason = h('p', {class: 'badtext'}), asked = h('p', {class: 'soft'}), body = h('tbody');
    const d = {is, element: h('section', {class: 'card device', 'aria-label': is.name},
      h('div', {class: 'head'}, h('h2', {}, is.name), pill, h('span', {class: 'soft'}, is.adapter), facts), asked, reason,
      h('div', {class: 'scroll'}, h('table', {}, h('thead', {}, h('tr', {}, ['Point', 'Value', 'Quality', 'Age', 'Last hour'].map((t, i) =>
        h('th', {scope: 'col', class: ['', 'num', '', 'num wide', 'wide'][i]}, t)))), body))),
      say() {
        set(pill, is.online ? 'online' : 'silent');
        pill.className = 'pill ' + (is.online ? 'good' : 'bad');
        set(reason, is.online ? '' : is.reason);
        set(asked, polled(is.polls));
        asked.hidden = !is.polls;
        set(facts, `${count(is.samples)} values, ${count(is.bad)} bad${is.since ? `, ${is.online ? 'online' : 'silent'} for ${lasting((Date.now() + skew - Date.parse(is.since)) / 1000)}` : ''}`);
      }};
    d.points = is.points.map(p => makePoint(d, p));
    body.append(...d.points.map(p => p.row));
    d.say();
    return d;
  }

  function makePoint(d, is) {
    const number = h('td', {class: 'value'}), text = document.createTextNode(''), quality = h('span', {class: 'pill'}), why = h('small', {class: 'why'}), age = h('td', {class: 'num soft wide'}), spark = sparkBox();
    number.append(text, h('small', {}, is.unit ? ' ' + is.unit : ''));
    const p = {is, spark, time: is.time ? Date.parse(is.time) : 0, row: h('tr', {},
      h('td', {}, h('button', {class: 'name', 'aria-label': is.writable ? is.name + ', can be written' : null, onclick: () => show(d, p)}, is.name, is.writable ? ' ✎' : ''), why),
      number, h('td', {}, quality), age, h('td', {class: 'wide'}, spark)),
      say() {
        const t = value(is.value);
        if (text.data !== t) text.data = t;
        set(quality, is.quality || 'never read');
        quality.className = 'pill ' + ({good: 'good', stale: 'warn', bad: 'bad'}[is.quality] || '');
        quality.title = is.reason || '';
        set(why, d.is.online && is.quality && is.quality !== 'good' ? is.reason : ''); // of all that are bad, the device says why
        p.row.className = is.quality || '';
      },
      old() { set(age, p.time ? lasting((Date.now() + skew - p.time) / 1000) : '–'); }};
    p.say();
    p.old();
    return p;
  }

  // show opens one point: its last hour, what it is, and where that is allowed a field to write it.
  async function show(d, p) {
    const now = h('div', {class: 'big'}), reason = h('p', {class: 'badtext'}), picture = h('div', {class: 'plot'});
    const dialog = h('dialog', {'aria-label': `${d.is.name} ${p.is.name}`, onclose: () => { shown?.end(); shown = null; dialog.remove(); }},
      h('div', {class: 'head'}, h('div', {}, h('h2', {}, `${d.is.name} / ${p.is.name}`), h('span', {class: 'soft mono'}, p.is.topic),
        p.is.source ? h('p', {class: 'soft mono'}, '= ' + p.is.source) : null),
        h('button', {onclick: () => dialog.close()}, 'Close')),
      now, reason, picture, p.is.writable ? writer(d, p, app.operator) : null);
    document.body.append(dialog);
    dialog.showModal();
    const mine = shown = {p, end() {}, say() {
      now.replaceChildren(value(p.is.value), ' ', h('small', {}, p.is.unit));
      set(reason, p.is.quality === 'good' ? '' : p.is.reason || '');
    }, add() {}};
    mine.say();
    const at = `history?device=${encodeURIComponent(d.is.name)}&point=${encodeURIComponent(p.is.name)}`;
    const spans = ['hour', 'day'].map(of => h('button', {'aria-pressed': String(of === 'hour'), onclick: () => draw(of)}, 'Last ' + of));
    picture.before(h('div', {class: 'tools'}, spans));
    let asked = 0;
    async function draw(of) {
      const turn = ++asked;
      spans.forEach(b => b.setAttribute('aria-pressed', String(b.textContent === 'Last ' + of)));
      const data = await get(`${at}&of=${of}`).catch(e => { if (turn === asked) picture.replaceChildren(h('p', {class: 'soft'}, e.message)); return null; });
      if (shown !== mine || turn !== asked || !data) return;
      mine.end();
      mine.end = mine.add = () => {};
      picture.replaceChildren();
      if (data.times.length === 0) { picture.replaceChildren(h('p', {class: 'soft'}, of === 'day' ? 'No minute of the last day is there yet.' : 'No number has come in the last hour.')); return; }
      const drawn = await plot(picture, ['least', 'greatest'], [data.times, data.low, data.high], {band: true, unit: p.is.unit});
      if (shown !== mine || turn !== asked) { drawn.end(); return; }
      mine.end = drawn.end;
      mine.add = () => {
        if (typeof p.is.value !== 'number' || p.is.quality !== 'good') return;
        const slot = Math.floor(p.time / 1000 / data.slot) * data.slot, i = data.times.length - 1;
        if (slot > data.times[i]) {
          data.times.push(slot); data.low.push(p.is.value); data.high.push(p.is.value);
        } else if (slot === data.times[i]) {
          data.low[i] = Math.min(data.low[i] ?? p.is.value, p.is.value);
          data.high[i] = Math.max(data.high[i] ?? p.is.value, p.is.value);
        }
        drawn.set([data.times, data.low, data.high]);
      };
    }
    await draw('hour');
  }

  let asking = false;
  async function again() {
    if (asking) return;
    asking = true;
    await opened().catch(() => {});
    asking = false;
  }

  function hear(name, c) {
    if (name !== 'devices' || layout === null) return;
    if (c.layout !== layout) { again(); return; }
    skew = Date.parse(c.time) - Date.now();
    keyed(links, c.links, l => l.name, makeLink);
    for (const n of c.devices) {
      const d = devices[n.place];
      if (!d) continue;
      Object.assign(d.is, n);
      d.say();
    }
    for (const [i, j, v, quality, time, reason] of c.points) {
      const p = devices[i]?.points[j];
      if (!p) continue;
      Object.assign(p.is, {value: v, quality, reason});
      p.time = time;
      p.say();
      if (shown?.p === p) { shown.say(); shown.add(); }
    }
    for (const d of devices) for (const p of d.points) p.old();
    sum();
    if (bad.checked) filter();
  }

  return {opened, hear, leave() { clearInterval(timer); document.querySelector('dialog')?.close(); }};
}

// polled says how a device answers that is asked.
function polled(p) {
  if (!p) return '';
  const wrong = [[p.timeouts, 'request without an answer', 'requests without an answer'], [p.exceptions, 'exception', 'exceptions'], [p.late, 'poll left out: it was late', 'polls left out: they were late']]
    .filter(([n]) => n > 0).map(([n, one, more]) => `${count(n)} ${n === 1 ? one : more}`);
  return (p.median ? `A poll takes ${milliseconds(p.median)} (the last one ${milliseconds(p.last)})` : 'No answer yet') + (wrong.length ? '; ' + wrong.join(', ') : '') + '.';
}

// writer is the form that sets a point.
function writer(d, p, operator) {
  const isSwitch = typeof p.is.value === 'boolean', isText = typeof p.is.value === 'string';
  const field = isSwitch ? h('select', {}, h('option', {value: 'true'}, 'on'), h('option', {value: 'false'}, 'off'))
    : h('input', {type: isText ? 'text' : 'number', step: 'any', required: true, value: p.is.value ?? ''});
  if (isSwitch) field.value = String(!p.is.value);
  const button = h('button', {class: 'main'}, 'Write'), said = h('p', {class: 'said', role: 'status'});
  field.disabled = button.disabled = !operator;
  if (!operator) set(said, 'Only an operator can write it.');
  return h('form', {class: 'stack', onsubmit: async e => {
    e.preventDefault();
    button.disabled = true;
    said.className = 'said';
    set(said, 'Writing…');
    try {
      const v = isSwitch ? field.value === 'true' : isText ? field.value : Number(field.value);
      const r = await post('write', {device: d.is.name, point: p.is.name, value: v});
      said.className = 'said ' + (r.status === 'ok' ? 'good' : 'bad');
      set(said, r.status === 'ok' ? `Written${r.value !== null && r.value !== undefined ? `, and read back: ${value(r.value)} ${p.is.unit}` : ''}.` : `${r.status}: ${r.reason}`);
    } catch (e) {
      said.className = 'said bad';
      set(said, e.message);
    }
    button.disabled = false;
  }}, h('div', {class: 'tools'}, h('label', {}, 'New value', field), button), said);
}
