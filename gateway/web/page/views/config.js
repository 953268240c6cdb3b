// Config: what runs, and what is wrong with the file on disk.

import {get, post} from '../api.js';
import {h, set, plural} from '../dom.js';

export function open(box, app) {
  const about = h('p'), said = h('p', {class: 'said', role: 'status'}), faults = h('div'), text = h('pre', {tabindex: '0', 'aria-label': 'The configuration that runs'});
  const say = (state, t) => { said.className = 'said ' + state; set(said, t); };
  async function check() {
    try {
      const r = await get('config/check');
      faults.replaceChildren(...r.faults.map(f => h('section', {class: 'card'}, h('p', {class: 'badtext'}, `${f.file}${f.line ? ':' + f.line : ''}: ${f.key ? f.key + ': ' : ''}${f.text}`), f.excerpt ? h('pre', {}, f.excerpt) : null)));
      if (r.faults.length) say('bad', `The file on disk has ${plural(r.faults.length, 'fault')}: it would not be taken.`);
      else say('good', `The file on disk is fine: ${r.summary}.`);
    } catch (e) {
      say('bad', e.message);
    }
  }
  const reload = h('button', {class: 'main', disabled: !app.operator, onclick: async () => {
    try {
      const r = await post('reload');
      say('good', 'Reloaded: users, rights, limits, classes and certificates are in force.' + (r.restart?.length ? ` Only after a restart: ${r.restart.join(', ')}.` : ''));
    } catch (e) {
      say('bad', e.message);
    }
  }}, 'Reload');
  box.append(h('div', {class: 'top'}, h('div', {}, h('h1', {}, 'Config'), about), h('div', {class: 'tools'}, h('button', {onclick: check}, 'Check the file'), reload)), said, faults, h('section', {class: 'card'}, h('h2', {}, 'What runs'), text));
  return {async opened() {
    const c = await get('config');
    set(about, c.files.join(', '));
    set(text, c.text);
    await check();
  }};
}
