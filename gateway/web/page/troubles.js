// What is wrong, in words, with what to do.

import {lasting, plural, bytes, count} from './dom.js';

const most = 8; // troubles with devices that are said each
const since = (s, t) => t ? (Date.parse(s.time) - Date.parse(t)) / 1000 : 0;

// troubles gives {key, kind, text, todo} of a status, the worst first.
export function troubles(s) {
  const list = [];
  for (const a of s.alarms) {
    list.push({key: a.name, kind: a.name === 'card' || a.name === 'write_budget' ? 'warn' : 'bad', text: `${title(a.text)}${a.since ? `, for ${lasting(since(s, a.since))}` : ''}.`, todo: todoOf[a.name]});
  }
  // Devices of one line that are silent for one reason are one trouble.
  const silent = new Map();
  for (const d of s.devices.filter(d => !d.online)) {
    const key = d.adapter + ': ' + d.reason, all = silent.get(key);
    if (all) all.push(d);
    else silent.set(key, [d]);
  }
  for (const [key, all] of [...silent].slice(0, most)) {
    const d = all[0], names = all.slice(0, 3).map(d => short(d.name)).join(', ') + (all.length > 3 ? ` and ${count(all.length - 3)} more` : '');
    list.push({key, kind: 'bad', text: `${names} on ${short(d.adapter)} ${all.length > 1 ? 'have' : 'has'} been silent${d.since ? ` for ${lasting(since(s, d.since))}` : ''}${d.reason ? ': ' + d.reason : ''}.`, todo: todoOfDevice(d)});
  }
  if (silent.size > most) list.push({key: 'more', kind: 'bad', text: `${plural([...silent.values()].slice(most).flat().length, 'more device')} silent.`, todo: 'See Devices.'});
  for (const b of s.bridges) {
    if (b.state === 'connected') {
      if (b.held) list.push({key: b.name, kind: 'warn', text: `${b.name}: ${b.held}.`, todo: /paused/.test(b.held) ? 'Resume it under Uplinks when it may go on.' : ''});
      continue;
    }
    if (since(s, b.since) < 3 && !b.last_error) continue;
    list.push({key: b.name, kind: 'bad', text: `${b.name} has had no upstream for ${lasting(since(s, b.since))}${b.last_error ? ': ' + b.last_error : ''}.`,
      todo: b.messages ? `Nothing is lost: ${plural(b.messages, 'message')} (${bytes(b.bytes)}) wait on disk, and go up when it is back. It tries again by itself.` : 'It tries again by itself; what is measured meanwhile is kept on disk.'});
  }
  if (s.messages.dropped > 0) list.push({key: 'dropped', kind: 'warn', text: `${plural(s.messages.dropped, 'message')} dropped since the start.`, todo: 'A client was too slow, or a queue was at its limit: see Clients.'});
  if (s.store.lost > 0) list.push({key: 'lost', kind: 'warn', text: `${plural(s.store.lost, 'message')} lost to damage on the disk.`, todo: 'See Log; a card that fails like this is to be replaced.'});
  return list;
}

const short = name => name.length > 40 ? name.slice(0, 40) + '…' : name;
const title = text => text[0].toUpperCase() + text.slice(1);

const todoOf = {
  disk: 'Nothing is acknowledged that is not on disk. Look at the disk: dmesg, its mount, its cable.',
  full: 'Free space, raise store.max_bytes, or purge a queue that nobody reads: headgate queue list.',
};

function todoOfDevice(d) {
  if (/permission|no such file|not found|cannot open/i.test(d.reason)) return 'Look at the port: headgate serial list shows those that are there.';
  if (/refused|unreachable|no route|timeout|timed out|no answer|silent/i.test(d.reason)) return 'Look at the power, the cable and the address; headgate modbus scan finds who answers.';
  return '';
}
