// Store: what the disk holds, how fast it takes it, and how long the card lasts.

import {h, set, bytes, count, milliseconds, lasting, plural} from '../dom.js';
import {plot} from '../plot.js';

const kept = 900; // seconds of the plot

export function open(box, app) {
  const about = h('p'), used = h('div', {class: 'big'}), bar = h('i'), barBox = h('div', {class: 'bar', role: 'img'}, bar), room = h('p', {class: 'soft'});
  const waiting = h('div', {class: 'big'}), waitingText = h('p', {class: 'soft'});
  const written = h('div', {class: 'big'}), day = h('dl', {class: 'facts'}), card = h('div', {class: 'big'}), cardFacts = h('dl', {class: 'facts'});
  const commit = h('div', {class: 'big'}), picture = h('div', {class: 'plot'});
  box.append(h('div', {class: 'top'}, h('div', {}, h('h1', {}, 'Store'), about)), h('div', {class: 'grid four'},
    h('section', {class: 'card'}, h('h2', {}, 'On disk'), used, barBox, room),
    h('section', {class: 'card'}, h('h2', {}, 'Waiting'), waiting, waitingText),
    h('section', {class: 'card'}, h('h2', {}, 'Written today (UTC)'), written, day),
    h('section', {class: 'card'}, h('h2', {}, 'Flash wear'), card, cardFacts)),
  h('section', {class: 'card'}, h('h2', {}, 'Commit latency while this view is open'), commit, picture));
  const data = [[], [], []];
  let drawn = null, gone = false;

  const facts = (dl, list) => dl.replaceChildren(...list.filter(([, v]) => v !== null).flatMap(([k, v]) => [h('dt', {}, k), h('dd', {}, v)]));

  async function hear(name, s) {
    if (name !== 'status') return;
    const st = s.store, w = st.today, share = st.limit ? st.used / st.limit : 0;
    set(about, s.alarms.length ? s.alarms.map(a => a.name).join(', ') : 'the disk takes what is written');
    set(used, `${bytes(st.used)} of ${bytes(st.limit)}`);
    bar.style.width = Math.min(100, share * 100) + '%';
    barBox.className = 'bar' + (share > .9 ? ' high' : '');
    barBox.setAttribute('aria-label', Math.round(share * 100) + ' % used');
    set(room, `${bytes(st.free)} free in the file system`);
    set(waiting, plural(st.messages, 'message'));
    set(waitingText, `${bytes(st.bytes)} for sessions and bridges${st.lost ? `; ${count(st.lost)} were lost to damage` : ''}`);
    set(written, bytes(w.disk ?? w.files));
    facts(day, [['by headgate', bytes(w.files)], ['on the whole disk', w.disk === null ? null : `${bytes(w.disk)} (${w.device})`], ['messages in it', bytes(w.payload)], ['spared from writing', st.spared ? `${plural(st.spared, 'message')}, ${bytes(st.spared_bytes)}` : null],
      ['written for each byte', w.amplification === null ? null : w.amplification.toFixed(1) + ' B'], ['budget', w.budget === null ? null : `${bytes(w.budget)} (${Math.round(100 * (w.disk ?? w.files) / w.budget)} % used)`]]);
    set(card, w.life_days === null ? 'not known' : w.life_days >= 730 ? `${Math.floor(w.life_days / 365)} years` : `${w.life_days} days`);
    facts(cardFacts, [['written a day', w.per_day === null ? 'known after ten minutes' : bytes(w.per_day)], ['endurance', w.endurance === null ? 'set card_endurance' : bytes(w.endurance)],
      ['a day takes', w.endurance && w.per_day !== null ? (100 * w.per_day / w.endurance).toPrecision(2) + ' %' : null], ['eMMC used', w.emmc_used === null ? null : w.emmc_used + ' %'], ['spare blocks', w.emmc_spare || null]]);
    set(commit, st.commit_p50 ? `median ${milliseconds(st.commit_p50)}, 99 % within ${milliseconds(st.commit_p99)}` : 'no commit yet');
    data[0].push(Math.floor(Date.parse(s.time) / 1000));
    data[1].push(st.commit_p50 ? st.commit_p50 * 1000 : null);
    data[2].push(st.commit_p99 ? st.commit_p99 * 1000 : null);
    if (data[0].length > kept) data.forEach(d => d.shift());
    if (drawn) drawn.set(data);
    else if (data[0].length === 2) {
      drawn = await plot(picture, ['median', '99 % within'], data, {unit: 'ms', height: 220});
      if (gone) drawn.end();
    }
  }
  return {hear, leave() { gone = true; drawn?.end(); }};
}
