// Config: what runs, and what is wrong with the file on disk.

import {get, post} from '../api.js';
import {h, set, plural} from '../dom.js';

const kinds = {error: 'bad', warning: 'warn', note: ''};

export function open(box, app) {
  const about = h('p'), said = h('p', {class: 'said', role: 'status'}), checked = h('p', {class: 'said', role: 'status'}), faults = h('ul', {class: 'troubles'});
  const text = h('pre', {tabindex: '0', 'aria-label': 'The configuration that runs', role: 'region'});
  const say = (e, state, t) => { e.className = 'said ' + state; set(e, t); };

  async function runs() {
    const c = await get('config');
    set(about, c.files.join(', '));
    set(text, c.text);
  }
  async function check() {
    try {
      const r = await get('config/check');
      faults.replaceChildren(...r.faults.map(f => h('li', {class: kinds[f.severity] || 'note'},
        h('p', {}, h('b', {}, f.severity), ` ${f.file}${f.line ? ':' + f.line : ''}${f.key ? ': ' + f.key : ''}: ${f.text}`), f.excerpt ? h('pre', {tabindex: '0', role: 'region', 'aria-label': `Line ${f.line}`}, f.excerpt) : null)));
      const n = r.faults.filter(f => f.severity === 'error').length, warnings = r.faults.filter(f => f.severity === 'warning').length;
      const also = warnings ? `, with ${plural(warnings, 'warning')}` : '';
      if (!r.good) say(checked, 'bad', `The file on disk has ${plural(n, 'fault')}: a reload would not take it. What runs goes on.`);
      else if (r.differs) say(checked, 'warn', `The file on disk is good${also}, but it is not what runs: reload it.`);
      else say(checked, 'good', `The file on disk is good${also}: ${r.summary}.`);
    } catch (e) {
      say(checked, 'bad', e.message);
    }
  }
  const reload = h('button', {class: 'main', disabled: !app.operator, title: app.operator ? null : 'That is for an operator.', onclick: async () => {
    reload.disabled = true;
    say(said, '', 'Reloading…');
    try {
      const r = await post('reload');
      say(said, r.restart?.length ? 'warn' : 'good', `Reloaded: users, rights, limits, classes, listeners, certificates and logins are in force${r.links ? '; links and devices that were changed have started again' : ''}${r.bridges ? '; bridges that were changed have started again' : ''}${r.rules ? '; rules are the new ones' : ''}${r.page ? `; the page is ${r.page === 'off' ? 'off' : 'at ' + r.page} now` : ''}.${r.restart?.length ? ` In force only after a restart: ${r.restart.join(', ')}.` : ''}`);
    } catch (e) {
      say(said, 'bad', `Not reloaded, what runs goes on: ${e.message}`);
    }
    reload.disabled = !app.operator;
    await Promise.all([runs(), check()]).catch(() => {});
  }}, 'Reload');
  box.append(h('div', {class: 'top'}, h('div', {}, h('h1', {}, 'Config'), about), h('div', {class: 'tools'}, h('button', {onclick: check}, 'Check the file'), reload)),
    said, checked, faults, h('section', {class: 'card'}, h('h2', {}, 'What runs'), h('p', {class: 'soft'}, 'With its defaults, and without its secrets.'), text));
  return {async opened() { await Promise.all([runs(), check()]); }};
}
