// A host application of Sparkplug B with MQTT.js and sparkplug-payload, nothing of
// headgate's: usage: sparkplughost.cjs URL. It says on standard output what it sees, a
// JSON object a line, and as { error } what no edge node may do. On standard input it
// takes { topic, metrics } to publish, with the metrics as sparkplug-payload has them,
// and { state, timestamp } to say that it is online.
'use strict'
const path = require('path')
const load = (name) => require(path.join(process.env.HEADGATE_NODE_MODULES, name))
const mqtt = load('mqtt')
const codec = load('sparkplug-payload').get('spBv1.0')
const Long = load('long')

const say = (event) => console.log(JSON.stringify(event))
const wrong = (topic, what) => say({ error: topic + ': ' + what })
const plain = (v) => Long.isLong(v) ? Number(v.toString()) : v

// node is the edge node as this host knows it: null while it is dead.
let node = null

function birth(topic, payload, metrics, aliases, device) {
  for (const m of payload.metrics) {
    if (!m.name) wrong(topic, 'a metric without a name')
    if (!m.type) wrong(topic, m.name + ' has no type')
    if (m.timestamp === undefined) wrong(topic, m.name + ' has no timestamp')
    if (m.value === undefined) wrong(topic, m.name + ' has neither a value nor null')
    metrics[m.name] = m.type
    if (m.alias === undefined || m.alias === null) continue
    const alias = plain(m.alias)
    const owner = device + '/' + m.name
    if (aliases[alias] !== undefined && aliases[alias] !== owner) wrong(topic, 'alias ' + alias + ' is that of ' + aliases[alias] + ' too')
    aliases[alias] = owner
  }
}

function take(topic, body, packet) {
  const [, group, kind, name, device] = topic.split('/')
  if (group === 'STATE' || kind === 'NCMD' || kind === 'DCMD') return
  if (packet.retain) wrong(topic, 'it is retained')
  if (kind !== 'NDEATH' && packet.qos !== 0) wrong(topic, 'QoS ' + packet.qos)
  const payload = codec.decodePayload(body)
  const event = { kind, group, node: name, device, seq: plain(payload.seq), values: {}, historical: [] }
  if (kind === 'NDEATH') {
    event.bdSeq = plain(payload.metrics.find((m) => m.name === 'bdSeq').value)
    event.matches = node !== null && node.bdSeq === event.bdSeq
    if (event.matches) node = null
    return say(event)
  }
  if (payload.timestamp === undefined) wrong(topic, 'no timestamp')
  if (kind === 'NBIRTH') {
    node = { seq: -1, metrics: {}, aliases: {}, devices: {} }
    const metric = (n) => payload.metrics.find((m) => m.name === n) || {}
    node.bdSeq = event.bdSeq = plain(metric('bdSeq').value)
    if (metric('Node Control/Rebirth').value !== false) wrong(topic, 'no Node Control/Rebirth')
    birth(topic, payload, node.metrics, node.aliases, '')
  } else if (node === null) {
    return wrong(topic, 'before NBIRTH')
  }
  const want = (node.seq + 1) % 256
  if (event.seq !== want) wrong(topic, 'sequence number ' + event.seq + ', want ' + want)
  node.seq = event.seq
  if (kind === 'DBIRTH') {
    node.devices[device] = {}
    birth(topic, payload, node.devices[device], node.aliases, device)
  } else if (kind === 'DDEATH') {
    if (!node.devices[device]) wrong(topic, 'it is not alive')
    delete node.devices[device]
  } else if (kind === 'DDATA' && !node.devices[device]) {
    wrong(topic, 'before DBIRTH')
  }
  for (const m of payload.metrics || []) {
    let owner = device + '/' + m.name
    if (kind === 'DDATA') {
      if (m.name) wrong(topic, 'a name beside the alias')
      owner = node.aliases[plain(m.alias)] || ''
      if (!owner.startsWith(device + '/')) wrong(topic, 'alias ' + m.alias + ' is that of ' + owner)
    }
    const metric = owner.slice((device + '/').length)
    const seen = (event.values[metric] = event.values[metric] || [])
    // Without its type the codec does not read a value: data are encoded without.
    seen.push({ value: plain(m.value), historical: Boolean(m.isHistorical), at: plain(m.timestamp), properties: m.properties && Object.fromEntries(Object.entries(m.properties).map(([k, p]) => [k, plain(p.value)])) })
  }
  say(event)
}

// typed gives metrics of data their types, which the births said, so that the codec
// reads the values.
function typed(topic, body) {
  const [, , kind, , device] = topic.split('/')
  if (kind !== 'DDATA' || node === null || !node.devices[device]) return body
  const proto = load('sparkplug-payload/lib/sparkplugPayloadProto.js').org.eclipse.tahu.protobuf.Payload
  const raw = proto.decode(body)
  const types = { Int64: 4, UInt64: 8, Double: 10, Boolean: 11, String: 12 }
  for (const m of raw.metrics) {
    if (m.datatype) wrong(topic, 'a datatype in data')
    const owner = node.aliases[plain(m.alias)] || ''
    m.datatype = types[node.devices[device][owner.slice((device + '/').length)]]
  }
  return Buffer.from(proto.encode(raw).finish())
}

const client = mqtt.connect(process.argv[2], { reconnectPeriod: 50, protocolVersion: 5 })
client.on('message', (topic, body, packet) => {
  try { take(topic, typed(topic, body), packet) } catch (e) { wrong(topic, String(e.stack)) }
})
client.on('connect', () => client.subscribe('spBv1.0/#', { qos: 1 }, () => say({ kind: 'ready' })))
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const ask = JSON.parse(line)
  if (ask.state !== undefined) {
    client.publish('spBv1.0/STATE/' + ask.host, JSON.stringify({ online: ask.state, timestamp: ask.timestamp }), { qos: 1, retain: true })
    return
  }
  client.publish(ask.topic, Buffer.from(codec.encodePayload({ timestamp: Date.now(), metrics: ask.metrics })))
}).on('close', () => process.exit(0))
