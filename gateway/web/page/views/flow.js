// Flow: the gateway as it runs, from the devices to the cloud.

import {get} from '../api.js';
import {h, set, keyed, rate, plural, count, bytes, lasting} from '../dom.js';
import {troubles} from '../troubles.js';

const card = (...inside) => h('div', {class: 'card'}, ...inside);

function arrow(label) {
  const b = h('b'), small = h('span', {class: 'soft'}), e = h('div', {class: 'arrow still', role: 'img', 'aria-label': label}, b, h('div', {class: 'line'}), small);
  return {e, say(text, below, state) {
    set(b, text);
    set(small, below);
    e.className = 'arrow ' + state;
    e.setAttribute('aria-label', `${label}: ${text} ${below}`);
  }};
}

function entry() {
  const name = h('h3'), pill = h('span', {class: 'pill push'}), text = h('p', {class: 'soft'});
  const element = card(h('div', {class: 'head'}, name, pill), text);
  return {element, say(title, state, word, about) {
    set(name, title);
    set(pill, word);
    pill.className = 'pill push ' + state;
    set(text, about);
    name.title = title;
    text.title = about;
    element.className = 'card' + (state === 'bad' ? ' standing' : '');
  }};
}

export function open(box, app) {
  const list = h('ul', {class: 'troubles'}), heard = h('p', {class: 'unseen', role: 'status'}), first = firstSteps(), well = h('p', {class: 'allwell', hidden: true}, 'Everything flows.');
  const about = h('p', {});
  const devices = h('div', {}), uplinks = h('div', {});
  const from = arrow('From the devices'), to = arrow('To the cloud');
  const broker = entry(), disk = entry();
  box.append(
    h('div', {class: 'top'}, h('div', {}, h('h1', {}, 'Flow'), about)),
    well, heard, list, first,
    h('div', {class: 'flow'},
      h('div', {class: 'column'}, h('h2', {}, 'Devices'), devices),
      from.e,
      h('div', {class: 'column'}, h('h2', {}, 'Broker'), broker.element, h('div', {class: 'down', 'aria-hidden': 'true'}, '⇅'), disk.element),
      to.e,
      h('div', {class: 'column'}, h('h2', {}, 'Uplinks'), uplinks)),
  );
  let last = null, said = '';

  function hear(name, s) {
    if (name !== 'status') return;
    const all = troubles(s);
    first.hidden = s.devices.length + s.bridges.length > 0;
    well.hidden = all.length > 0 || !first.hidden;
    // Who hears the page is told of each trouble once, not how long it lasts.
    const keys = all.map(t => t.key).join('\n');
    if (keys !== said) set(heard, all.map(t => t.text).join(' '));
    said = keys;
    keyed(list, all, t => t.key, () => {
      const text = h('p'), todo = h('p', {class: 'soft'}), element = h('li', {}, text, todo);
      return {element, update(t) { element.className = t.kind; set(text, t.text); set(todo, t.todo || ''); }};
    });
    set(about, `Up ${lasting(s.uptime)}`);

    // Rates are of the time between two reports.
    const seconds = last ? s.uptime - last.uptime : 0;
    const per = (now, before) => seconds > 0.2 ? Math.max(0, now - before) / seconds : 0;
    const samples = s => s.devices.reduce((n, d) => n + d.samples, 0);
    const fresh = seconds > 0.2 ? per(samples(s), samples(last)) : 0;
    const silent = s.devices.filter(d => !d.online).length;

    // Silent ones first; of many, the rest as one.
    const shown = [...s.devices].sort((a, b) => a.online - b.online).slice(0, 4);
    const rest = s.devices.length - shown.length;
    const rows = shown.map(d => ({key: d.name, title: d.name, state: d.online ? 'good' : 'bad', word: d.online ? 'online' : 'silent',
      about: d.online ? `${plural(d.points, 'point')} on ${d.adapter}` : d.reason}));
    if (rest > 0) rows.push({key: '\n', title: plural(rest, 'more device'), state: '', word: '', about: 'see Devices'});
    if (s.devices.length === 0) rows.push({key: '\n', title: 'No device', state: '', word: 'none', about: 'add a [[modbus]] or [[serial]] table'});
    rowsOf(devices, rows);
    from.say(last ? rate(fresh) : '…', 'values', s.devices.length === 0 ? 'still' : silent === s.devices.length ? 'standing' : fresh > 0 ? '' : 'still');

    const inRate = last ? per(s.messages.in, last.messages.in) : 0, outRate = last ? per(s.messages.out, last.messages.out) : 0;
    broker.say(plural(s.clients.connected, 'client'), 'good', 'running', `${rate(inRate)} in, ${rate(outRate)} out, ${count(s.messages.retained)} retained`);
    const failing = s.alarms.find(a => a.name === 'disk' || a.name === 'full');
    disk.say('Disk', failing ? 'bad' : 'good', failing ? 'stands still' : 'writes', `${plural(s.store.messages, 'message')} wait, ${bytes(s.store.used)} of ${bytes(s.store.limit)}`);

    const up = s.bridges.map(b => ({key: b.name, title: b.name, state: b.state !== 'connected' ? 'bad' : b.held ? 'warn' : 'good', word: b.held && b.state === 'connected' ? 'held' : b.state,
      about: `${b.remote || ''} · ${b.messages > 0 ? plural(b.messages, 'message') + ' wait' : 'nothing waits'}`}));
    if (up.length === 0) up.push({key: '\n', title: 'No uplink', state: '', word: 'none', about: 'add a [[bridge]] table'});
    rowsOf(uplinks, up);
    const gone = s => s.bridges.reduce((n, b) => n + b.forwarded, 0), rates = last ? per(gone(s), gone(last)) : 0, down = s.bridges.filter(b => b.state !== 'connected').length;
    to.say(last ? rate(rates) : '…', 'messages', s.bridges.length === 0 ? 'still' : down === s.bridges.length ? 'standing' : rates > 0 ? '' : 'still');
    last = s;
  }
  return {hear};
}

// firstSteps says what to do with a gateway that knows no device and no uplink.
function firstSteps() {
  const file = h('code', {}, 'headgate.toml'), code = t => h('code', {}, t);
  const e = h('section', {class: 'card first', hidden: true}, h('h2', {}, 'There is no device yet'), h('ol', {},
    h('li', {}, 'Find what is there: ', code('headgate serial list'), ' names the ports, ', code('headgate modbus scan --url tcp://HOST'), ' the units that answer.'),
    h('li', {}, 'Describe it in ', file, ': a ', code('[[modbus]]'), ' or ', code('[[serial]]'), ' table; ', code('headgate modbus profiles'), ' lists the devices that are known. A ', code('[[bridge]]'), ' table is an uplink.'),
    h('li', {}, 'Let it be checked and reloaded under ', h('a', {href: '#/config'}, 'Config'), '.')));
  get('config').then(c => set(file, c.files[0])).catch(() => {});
  return e;
}

function rowsOf(e, rows) {
  keyed(e, rows, r => r.key, () => {
    const row = entry();
    return {element: row.element, update(r) { row.say(r.title, r.state, r.word, r.about); row.element.querySelector('.pill').hidden = !r.word; }};
  });
}
