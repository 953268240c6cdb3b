// Topics: the tree of what is published, with the last payload of each; one of them can be followed.

import {get, post} from '../api.js';
import {h, set, rate, count, bytes, clock} from '../dom.js';

export const events = ['topics'];
const most = 3000; // topics that are drawn
const followed = 100; // messages of the one that is followed

export function open(box, app) {
  const about = h('p'), search = h('input', {type: 'search', placeholder: 'Filter', 'aria-label': 'Filter topics', oninput: () => filter()});
  const system = h('input', {type: 'checkbox', onchange: () => filter()});
  const root = {list: h('ul', {class: 'tree', 'aria-label': 'Topics'}), parts: new Map()};
  const side = h('aside', {class: 'card'});
  box.append(h('div', {class: 'top'}, h('div', {}, h('h1', {}, 'Topics'), about), h('div', {class: 'tools'}, search, h('label', {}, system, '$SYS'))),
    h('div', {class: 'split'}, h('div', {class: 'card scroll'}, root.list), side));
  const topics = new Map();
  let selected = null;

  // branch gives the part of the tree that a level is, and makes it where it is new.
  function branch(parent, level) {
    let b = parent.parts.get(level);
    if (!b) {
      b = {parts: new Map(), item: h('li')};
      parent.parts.set(level, b);
      const after = [...parent.parts.keys()].filter(k => k > level).sort()[0];
      if (!parent.list) {
        parent.list = h('ul');
        parent.details = h('details', {open: parent.depth < 3}, h('summary', {}, parent.level), parent.list);
        parent.item.prepend(parent.details);
      }
      parent.list.insertBefore(b.item, after === undefined ? null : parent.parts.get(after).item);
      b.level = level === '' ? '(empty)' : level;
      b.depth = (parent.depth || 0) + 1;
    }
    return b;
  }

  function take(t) {
    let is = topics.get(t.topic);
    if (!is) {
      if (topics.size >= most) return;
      let b = root;
      const levels = t.topic.split('/');
      for (const level of levels) b = branch(b, level);
      const payload = h('code'), kept = h('span', {class: 'kept'}), per = h('span');
      b.leaf = h('button', {class: 'leaf', 'aria-pressed': 'false', onclick: () => select(t.topic)}, h('b', {}, levels.at(-1) || '(empty)'), payload, kept, per);
      b.item.append(b.leaf);
      is = {item: b.item, leaf: b.leaf, payload, kept, per};
      topics.set(t.topic, is);
      is.fits = fits(t.topic);
      b.leaf.hidden = !is.fits;
    }
    const isNew = !is.t || is.t.count !== t.count;
    is.t = t;
    set(is.payload, t.binary ? `${bytes(t.size)} of no text` : t.payload || (t.size ? '' : '(empty)'));
    set(is.kept, t.retained ? 'retained' : '');
    set(is.per, t.rate ? rate(t.rate) : '');
    if (t.topic === selected) follow(t, isNew);
  }

  const fits = topic => topic.toLowerCase().includes(search.value.toLowerCase()) && (system.checked || !topic.startsWith('$'));

  function filter() {
    for (const [name, is] of topics) is.leaf.hidden = !(is.fits = fits(name));
    prune(root);
    sum();
  }
  function prune(b) {
    let any = b.leaf ? !b.leaf.hidden : false;
    for (const part of b.parts.values()) any = prune(part) || any;
    if (b.item) b.item.hidden = !any;
    return any;
  }

  const name = h('h2'), facts = h('p', {class: 'soft'}), list = h('ol', {class: 'follow', 'aria-label': 'Messages of this topic'});
  const topic = h('input', {required: true, 'aria-label': 'Topic', spellcheck: 'false'}), text = h('textarea', {rows: 3, spellcheck: 'false'});
  const qos = h('select', {'aria-label': 'QoS'}, ['0', '1', '2'].map(n => h('option', {value: n, selected: n === '1'}, 'QoS ' + n))), retain = h('input', {type: 'checkbox'});
  const said = h('p', {class: 'said', role: 'status'});
  const send = async (message, done) => {
    try {
      await post('publish', message);
      said.className = 'said good';
      set(said, done);
    } catch (e) {
      said.className = 'said bad';
      set(said, e.message);
    }
  };
  const clear = h('button', {type: 'button', class: 'danger', hidden: true, onclick: () => {
    if (confirm(`Remove the retained message of ${selected}?`)) send({topic: selected, payload: '', qos: 1, retain: true}, 'The retained message is gone.');
  }}, 'Clear retained');
  side.append(name, facts, clear, list, h('h2', {}, 'Publish'), h('form', {class: 'stack', onsubmit: e => {
    e.preventDefault();
    send({topic: topic.value, payload: text.value, qos: Number(qos.value), retain: retain.checked}, 'Published.');
  }}, h('label', {}, 'Topic', topic), h('label', {}, 'Payload', text), h('div', {class: 'tools'}, qos, h('label', {}, retain, 'retain'), h('button', {class: 'main', disabled: !app.operator}, 'Publish')), said));
  if (!app.operator) set(said, 'Only an operator can publish.');
  set(name, 'No topic selected');
  set(facts, 'Select one to follow it.');

  function select(t) {
    topics.get(selected)?.leaf.setAttribute('aria-pressed', 'false');
    selected = t;
    topics.get(t).leaf.setAttribute('aria-pressed', 'true');
    list.replaceChildren();
    topic.value = t;
    set(name, t);
    follow(topics.get(t).t, true);
  }

  function follow(t, isNew) {
    set(facts, `${count(t.count)} messages since this view watches, ${bytes(t.size)}, QoS ${t.qos}${t.retained ? ', retained' : ''}`);
    clear.hidden = !t.retained || !app.operator;
    if (!isNew) return;
    list.prepend(h('li', {}, h('time', {}, clock(t.time)), t.binary ? '(no text)' : t.payload));
    while (list.children.length > followed) list.lastChild.remove();
  }

  let left = 0;
  function sum() {
    set(about, topics.size >= most ? `the first ${count(most)} topics: more are not drawn` : `${count([...topics.values()].filter(is => is.fits).length)} topics${left ? `; of more there are ${count(left)} messages that are not shown` : ''}`);
  }
  function takeAll(c) {
    c.topics.forEach(take);
    left = c.left;
    prune(root);
    sum();
  }

  return {
    async opened() { takeAll(await get('topics')); },
    hear(event, c) { if (event === 'topics') takeAll(c); },
  };
}
