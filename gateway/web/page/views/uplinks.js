// Uplinks: each bridge, what waits for it, and until when.

import {post} from '../api.js';
import {h, set, keyed, count, bytes, lasting, rate, plural} from '../dom.js';

export function open(box, app) {
  const about = h('p'), said = h('p', {class: 'said', role: 'status'}), grid = h('div', {class: 'grid left'});
  box.append(h('div', {class: 'top'}, h('div', {}, h('h1', {}, 'Uplinks'), about)), said, grid);

  function make(b) {
    const pill = h('span', {class: 'pill push'}), held = h('p', {class: 'soft'}), error = h('p', {class: 'badtext'}), values = {};
    const facts = h('dl', {class: 'facts'}, ['Upstream', 'State for', 'Waiting', 'Oldest', 'Rate', 'Empty in', 'In flight', 'Delivered'].flatMap(k => [h('dt', {}, k), values[k] = h('dd')]));
    const act = async (what, done) => {
      try {
        await post(`bridges/${what}?name=${encodeURIComponent(b.name)}`);
        said.className = 'said good';
        set(said, `${b.name} ${done}.`);
      } catch (e) {
        said.className = 'said bad';
        set(said, e.message);
      }
    };
    let paused = false;
    const button = h('button', {disabled: !app.operator, onclick: () => paused ? act('resume', 'goes on') : act('pause', 'is paused: what comes waits on disk')});
    return {element: h('section', {class: 'card', 'aria-label': b.name}, h('div', {class: 'head'}, h('h2', {}, b.name), pill), facts, held, error, h('div', {class: 'tools'}, button)), update(b, s) {
      s = last;
      paused = b.held === 'paused';
      set(pill, paused ? 'paused' : b.state);
      pill.className = 'pill push ' + (paused ? 'warn' : b.state === 'connected' ? 'good' : 'bad');
      set(button, paused ? 'Resume' : 'Pause');
      button.setAttribute('aria-label', `${paused ? 'Resume' : 'Pause'} ${b.name}`);
      const now = Date.parse(s.time), since = t => t ? lasting((now - Date.parse(t)) / 1000) : '–';
      set(values.Upstream, b.remote || '–');
      set(values['State for'], since(b.since));
      set(values.Waiting, `${plural(b.messages, 'message')}, ${bytes(b.bytes)}`);
      set(values.Oldest, b.messages ? lasting(b.oldest) : '–');
      set(values.Rate, rate(b.rate));
      set(values['Empty in'], b.messages === 0 ? 'empty' : b.state === 'connected' && b.oldest < 2 && !b.held ? 'it keeps up' : b.left !== null ? lasting(b.left) : b.state === 'connected' ? 'not shrinking' : 'unknown');
      set(values['In flight'], count(b.in_flight));
      set(values.Delivered, count(b.forwarded));
      set(held, b.held && !paused ? b.held : '');
      set(error, b.last_error ? `Last error ${since(b.last_error_at)} ago: ${b.last_error}` : '');
    }};
  }
  let last = null;
  return {hear(name, s) {
    if (name !== 'status') return;
    last = s;
    keyed(grid, s.bridges, b => b.name, make);
    set(about, s.bridges.length === 0 ? 'There is no uplink: add a [[bridge]] table to the configuration.' : `${s.bridges.filter(b => b.state === 'connected').length} of ${s.bridges.length} connected`);
  }};
}
