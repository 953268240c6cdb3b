// MQTT.js against the broker: usage: mqttjs.cjs PACKAGE_DIR URL. Ends with status 1
// and a reason when something is not as it should be.
'use strict'
const assert = require('assert')
const [, , dir, url] = process.argv
const mqtt = require(dir)

const timer = setTimeout(() => { console.error('it hangs'); process.exit(1) }, 40000)

function connect(options) {
  return mqtt.connectAsync(url, { reconnectPeriod: 100, ...options })
}

// collect gives the next n messages.
function collect(client, n) {
  const got = []
  return new Promise(resolve => {
    client.on('message', (topic, payload, packet) => {
      got.push({ topic, payload: payload.toString(), packet })
      if (got.length === n) resolve(got)
    })
  })
}

async function main() {
  for (const protocolVersion of [3, 4, 5]) {
    const options = { protocolVersion, clientId: 'js', clean: true }
    if (protocolVersion === 3) options.protocolId = 'MQIsdp'
    const c = await connect(options)
    const got = collect(c, 12)
    await c.subscribeAsync('js/#', { qos: 2 })
    for (let i = 0; i < 12; i++) await c.publishAsync('js/' + i % 3, String(i), { qos: i % 3 })
    const messages = await got
    assert.deepStrictEqual(messages.map(m => m.payload), [...Array(12).keys()].map(String))
    assert.deepStrictEqual(messages.map(m => m.packet.qos), [...Array(12).keys()].map(i => i % 3))
    await c.endAsync()
  }

  // 5.0: properties both ways, aliases assigned by the client and by the broker.
  const c = await connect({
    protocolVersion: 5, clientId: 'js5', clean: true,
    properties: { topicAliasMaximum: 10, requestProblemInformation: true }, autoAssignTopicAlias: true,
    will: { topic: 'js5/will', payload: Buffer.from('gone'), qos: 1, properties: { willDelayInterval: 0, userProperties: { a: 'b' } } }
  })
  let got = collect(c, 12)
  await c.subscribeAsync('js5/#', { qos: 2, rap: true, properties: { subscriptionIdentifier: 9 } })
  const properties = { userProperties: { k: ['1', '2'] }, responseTopic: 'r', correlationData: Buffer.from([0, 1]), contentType: 'x/y', messageExpiryInterval: 60 }
  for (let i = 0; i < 12; i++) await c.publishAsync('js5/' + i % 4, String(i), { qos: i % 3, properties })
  for (const [i, m] of (await got).entries()) {
    assert.strictEqual(m.topic, 'js5/' + i % 4)
    assert.strictEqual(m.payload, String(i))
    assert.deepStrictEqual({ ...m.packet.properties.userProperties }, properties.userProperties)
    assert.strictEqual(m.packet.properties.responseTopic, 'r')
    assert.ok(m.packet.properties.correlationData.equals(properties.correlationData))
    assert.strictEqual(m.packet.properties.subscriptionIdentifier, 9)
  }

  // The broken connection's will, and the same client back in its session.
  const dies = await connect({ protocolVersion: 5, clientId: 'dies', clean: false, properties: { sessionExpiryInterval: 100 },
    will: { topic: 'watch/will', payload: Buffer.from('last words'), qos: 1 } })
  await dies.subscribeAsync('dies/#', { qos: 1 })
  const watcher = await connect({ protocolVersion: 4, clientId: 'watcher' })
  got = collect(watcher, 1)
  await watcher.subscribeAsync('watch/#', { qos: 1 })
  const again = new Promise(resolve => dies.once('connect', connack => resolve(connack)))
  const after = collect(dies, 1)
  dies.stream.destroy()
  assert.strictEqual((await got)[0].payload, 'last words')
  assert.strictEqual((await again).sessionPresent, true)
  await watcher.publishAsync('dies/x', 'welcome back', { qos: 1 })
  assert.strictEqual((await after)[0].payload, 'welcome back')
  await Promise.all([c.endAsync(), dies.endAsync(), watcher.endAsync()])
}

main().then(() => clearTimeout(timer), err => { console.error(err); process.exit(1) })
