// Requests to the gateway, and its events.

export class Refused extends Error {
  constructor(status, text) { super(text); this.status = status; }
}

async function ask(method, path, body) {
  let r;
  try {
    r = await fetch('/api/v1/' + path, {method, body: body === undefined ? undefined : JSON.stringify(body), headers: body === undefined ? {} : {'Content-Type': 'application/json'}});
  } catch (e) {
    throw new Refused(0, 'the gateway does not answer');
  }
  const text = await r.text();
  let v = null;
  try { v = text ? JSON.parse(text) : null; } catch (e) { v = {error: text}; }
  if (!r.ok) {
    if (r.status === 401 && path !== 'login') dispatchEvent(new Event('loggedout'));
    throw new Refused(r.status, v?.error || r.statusText);
  }
  return v;
}

export const get = path => ask('GET', path);
export const post = (path, body) => ask('POST', path, body);

let stream = null, streamOf = '';

// events hears those that names lists; hear(name, data) is called with each, opened() when it
// begins, also again after a loss, lost() when there is none.
export function events(names, hear, opened, lost) {
  close();
  streamOf = names.join(',');
  const mine = stream = new EventSource('/api/v1/events?of=' + streamOf);
  mine.onopen = () => { if (mine === stream) opened(); };
  mine.onerror = () => {
    if (mine !== stream) return;
    lost();
    // One that the server has refused does not try again by itself.
    if (mine.readyState === EventSource.CLOSED) {
      get('me').catch(() => {});
      setTimeout(() => { if (mine === stream) events(names, hear, opened, lost); }, 3000);
    }
  };
  for (const name of names) mine.addEventListener(name, e => { if (mine === stream) hear(name, JSON.parse(e.data)); });
}

export function close() {
  if (stream) stream.close();
  stream = null;
}
