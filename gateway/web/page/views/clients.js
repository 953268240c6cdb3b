// Clients: who is connected, and what waits for those who are not.

import {get, post} from '../api.js';
import {h, set, keyed, count, bytes, lasting, plural} from '../dom.js';

export const events = ['clients'];

export function open(box, app) {
  const about = h('p'), search = h('input', {type: 'search', placeholder: 'Filter', 'aria-label': 'Filter clients', oninput: () => draw()});
  const body = h('tbody'), said = h('p', {class: 'said', role: 'status'}), none = h('p', {class: 'soft', hidden: true}, 'Nobody is connected. A client connects to one of the [[broker.listener]].');
  box.append(h('div', {class: 'top'}, h('div', {}, h('h1', {}, 'Clients'), about), h('div', {class: 'tools'}, search)), said, none,
    h('div', {class: 'card scroll'}, h('table', {}, h('thead', {}, h('tr', {}, [['Client', ''], ['State', ''], ['Connected for', 'wide'], ['Address', 'wide'], ['User', 'wide'], ['MQTT', 'wide'], ['Subscriptions', 'num wide'], ['In flight', 'num wide'], ['Queued', 'num'], ['', '']].map(([t, c]) =>
      h('th', {scope: 'col', class: c}, t || h('span', {class: 'unseen'}, 'Actions'))))), body)));
  let last = null, skew = 0;

  function make(c) {
    const pill = h('span', {class: 'pill'}), cells = [h('td', {class: 'wide soft'}), h('td', {class: 'mono wide'}), h('td', {class: 'wide'}), h('td', {class: 'wide'}), h('td', {class: 'num wide'}), h('td', {class: 'num wide'}), h('td', {class: 'num'})];
    const button = h('button', {class: 'danger', disabled: !app.operator, 'aria-label': 'Disconnect ' + c.client_id, onclick: async () => {
      if (!confirm(`Disconnect ${c.client_id}? It may connect again.`)) return;
      try {
        await post('clients/disconnect', {client_id: c.client_id});
        said.className = 'said good';
        set(said, `${c.client_id} is disconnected.`);
      } catch (e) {
        said.className = 'said bad';
        set(said, e.message);
      }
    }}, 'Disconnect');
    return {element: h('tr', {}, h('td', {class: 'mono'}, c.client_id), h('td', {}, pill), ...cells, h('td', {class: 'num'}, button)), update(c) {
      set(pill, c.connected ? 'connected' : 'away');
      pill.className = 'pill ' + (c.connected ? 'good' : '');
      cells[0].title = c.since ? new Date(c.since).toLocaleString('en-GB') : '';
      [c.since ? lasting((Date.now() + skew - Date.parse(c.since)) / 1000) : '–', c.remote || '–', c.user || '–', c.protocol, count(c.subscriptions), count(c.in_flight), c.queued ? `${count(c.queued)}${c.queued_bytes ? ` (${bytes(c.queued_bytes)})` : ''}` : '0'].forEach((t, i) => set(cells[i], t));
      cells[4].title = c.filters.join('\n');
      button.hidden = !c.connected;
    }};
  }

  function draw() {
    if (!last) return;
    const text = search.value.toLowerCase();
    keyed(body, last.clients.filter(c => `${c.client_id} ${c.user} ${c.remote} ${c.filters.join(' ')}`.toLowerCase().includes(text)), c => c.client_id, make);
    const there = last.clients.filter(c => c.connected).length;
    none.hidden = last.total > 0;
    set(about, last.total > last.clients.length ? `the first ${count(last.clients.length)} of ${plural(last.total, 'session')}` : `${count(there)} connected, ${plural(last.total - there, 'session')} away`);
  }
  return {async opened() { last ??= await get('clients'); draw(); }, hear(name, c) {
    if (name === 'status') skew = Date.parse(c.time) - Date.now();
    if (name === 'clients') { last = c; draw(); }
  }};
}
