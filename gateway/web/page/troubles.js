// What is wrong, in words, with what to do.

import {lasting, plural, bytes} from './dom.js';

const since = (s, t) => t ? (Date.parse(s.time) - Date.parse(t)) / 1000 : 0;

// troubles gives {kind, text, todo} of a status, the worst first.
export function troubles(s) {
  const list = [];
  for (const a of s.alarms) {
    list.push({kind: a.name === 'card' || a.name === 'write_budget' ? 'warn' : 'bad', text: `${title(a.text)}${a.since ? `, for ${lasting(since(s, a.since))}` : ''}.`, todo: todoOf[a.name]});
  }
  const silent = s.devices.filter(d => !d.online);
  for (const d of silent.slice(0, 8)) {
    list.push({kind: 'bad', text: `${d.name} on ${d.adapter} is silent${d.since ? ` since ${lasting(since(s, d.since))}` : ''}: ${d.reason}.`, todo: todoOfDevice(d)});
  }
  if (silent.length > 8) list.push({kind: 'bad', text: `${plural(silent.length - 8, 'more device')} silent.`, todo: 'See Devices.'});
  for (const b of s.bridges) {
    if (b.state === 'connected') {
      if (b.held) list.push({kind: 'warn', text: `${b.name}: ${b.held}.`, todo: /paused/.test(b.held) ? 'Resume it under Uplinks when it may go on.' : ''});
      continue;
    }
    if (since(s, b.since) < 3 && !b.last_error) continue;
    list.push({kind: 'bad', text: `${b.name} has had no upstream for ${lasting(since(s, b.since))}${b.last_error ? ': ' + b.last_error : ''}.`,
      todo: b.messages ? `Nothing is lost: ${plural(b.messages, 'message')} (${bytes(b.bytes)}) wait on disk, and go up when it is back. It tries again by itself.` : 'It tries again by itself; what is measured meanwhile is kept on disk.'});
  }
  if (s.messages.dropped > 0) list.push({kind: 'warn', text: `${plural(s.messages.dropped, 'message')} dropped since the start.`, todo: 'A client was too slow, or a queue was at its limit: see Clients.'});
  if (s.store.lost > 0) list.push({kind: 'warn', text: `${plural(s.store.lost, 'message')} lost to damage on the disk.`, todo: 'See Log; a card that fails like this is to be replaced.'});
  return list;
}

const title = text => text[0].toUpperCase() + text.slice(1);

const todoOf = {
  disk: 'Nothing is acknowledged that is not on disk. Look at the disk: dmesg, its mount, its cable.',
  full: 'Free space, raise store.max_bytes, or purge a queue that nobody reads: headgate queue list.',
};

function todoOfDevice(d) {
  if (/permission|no such file|not found|cannot open/i.test(d.reason)) return 'Look at the port: headgate serial list shows those that are there.';
  if (/refused|unreachable|no route|timeout|timed out|no answer|silent/i.test(d.reason)) return 'Look at its power, its cable and its address; headgate modbus scan finds who answers.';
  return '';
}
