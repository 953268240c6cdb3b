// The page: who looks, which view, and what the gateway says.

import {Refused, get, post, events, close} from './api.js';
import {h, set, plural, clock} from './dom.js';
import {troubles} from './troubles.js';

const views = ['flow', 'devices', 'topics', 'clients', 'uplinks', 'store', 'log', 'config'];
const title = name => name[0].toUpperCase() + name.slice(1);

const main = document.getElementById('main'), nav = document.getElementById('nav'), live = document.getElementById('live');
const app = {me: null, status: null, before: null, operator: false};
let view = null, viewName = '', turn = 0, listen = null;

const links = {};
for (const name of views) {
  links[name] = h('a', {href: '#/' + name}, title(name), h('span', {class: 'count', hidden: true}));
  nav.append(links[name]);
}

// say shows whether what is seen is live. What is old is not to look as if it were not.
function say(state) {
  if (state === 'off' && live.className !== 'off') set(live, 'no connection since ' + clock(Date.now()));
  if (state !== 'off') set(live, state && 'live');
  live.className = state;
  main.classList.toggle('old', state === 'off');
}

function hear(name, data) {
  if (name === 'status') {
    app.before = app.status;
    app.status = data;
    head(data);
  }
  view?.hear?.(name, data);
}

// head brings what stands above every view up to date.
function head(s) {
  set(document.getElementById('gateway'), s.gateway);
  set(document.getElementById('version'), 'headgate ' + s.version);
  document.title = `${s.gateway} · ${title(viewName || 'flow')}`;
  const all = troubles(s);
  for (const name of views) {
    const mark = links[name].querySelector('.count'), n = name === 'flow' ? all.length : 0;
    mark.hidden = n === 0;
    set(mark, String(n));
    if (n) mark.setAttribute('aria-label', plural(n, 'trouble'));
  }
}

// opened has the view ask for what events do not say. What fails then, the next opening mends.
async function opened() {
  try {
    await view?.opened?.();
  } catch (e) {
    if (!(e instanceof Refused)) throw e;
  }
}

async function show() {
  const mine = ++turn;
  const name = views.find(v => location.hash.startsWith('#/' + v)) || 'flow';
  const [module, status] = await Promise.all([import(`./views/${name}.js`), app.status || get('status').catch(() => null)]);
  if (mine !== turn || !app.me) return;
  view?.leave?.();
  viewName = name;
  app.status ??= status;
  for (const v of views) {
    if (v === name) links[v].setAttribute('aria-current', 'page');
    else links[v].removeAttribute('aria-current');
  }
  links[name].scrollIntoView({block: 'nearest', inline: 'center'});
  const box = h('div', {class: 'view-' + name});
  main.replaceChildren(box);
  view = module.open(box, app);
  if (document.activeElement && document.activeElement !== document.body) main.focus({preventScroll: true});
  scrollTo(0, 0);
  listen = () => events(['status', ...(module.events || [])], hear, () => { say('on'); opened(); }, () => say('off'));
  listen();
  if (app.status) hear('status', app.status);
}

function login(text) {
  turn++;
  close();
  view?.leave?.();
  view = null;
  app.me = null;
  say('');
  nav.hidden = true;
  document.getElementById('logout').hidden = true;
  set(document.getElementById('who'), '');
  const said = h('p', {class: 'said bad', role: 'alert'}, text || '');
  const name = h('input', {name: 'user', autocomplete: 'username', required: true, autofocus: true});
  const password = h('input', {name: 'password', type: 'password', autocomplete: 'current-password', required: true});
  const button = h('button', {class: 'main'}, 'Log in');
  main.replaceChildren(h('div', {class: 'login card'}, h('h1', {}, 'Log in'), h('form', {class: 'stack', onsubmit: async e => {
    e.preventDefault();
    button.disabled = true;
    set(said, '');
    try {
      await post('login', {user: name.value, password: password.value});
      await start();
    } catch (e) {
      set(said, e.message);
      password.select();
    }
    button.disabled = false;
  }}, h('label', {}, 'User', name), h('label', {}, 'Password', password), button, said)));
  name.focus();
}

async function start() {
  try {
    app.me = await get('me');
  } catch (e) {
    if (e.status === 401) { login(); return; }
    say('off');
    setTimeout(start, 3000);
    return;
  }
  app.operator = app.me.role === 'operator';
  nav.hidden = false;
  document.getElementById('logout').hidden = !app.me.user;
  set(document.getElementById('who'), app.me.user ? `${app.me.user} (${app.me.role})` : 'nobody has to log in: look only');
  await show();
}

document.getElementById('logout').addEventListener('click', async () => {
  await post('logout').catch(() => {});
  app.status = null;
  login();
});
// Nobody sees a page in the background. A browser has six connections to a gateway: more pages would wait for one.
document.addEventListener('visibilitychange', () => {
  if (!view) return;
  if (document.hidden) close();
  else listen();
});
addEventListener('hashchange', () => { if (app.me) show(); });
addEventListener('loggedout', () => { if (app.me) login('The login has ended.'); });
start();
