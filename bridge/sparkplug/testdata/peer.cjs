// Reads one JSON object a line: { decode: base64 } or { encode: payload }, and
// answers each with a line: the payload as sparkplug-payload reads it, or the
// base64 of what it writes. Whole numbers of 64 bits are texts. Beside it, with
// again, what it reads is written again.
'use strict'
const path = require('path')
const load = (name) => require(path.join(process.env.HEADGATE_NODE_MODULES, name))
const codec = load('sparkplug-payload').get('spBv1.0')
const readline = require('readline')
const plain = (key, v) => {
  if (v && typeof v === 'object' && 'low' in v && 'high' in v && 'unsigned' in v) {
    return require(path.join(process.env.HEADGATE_NODE_MODULES, 'long')).fromValue(v).toString()
  }
  if (v && v.type === 'Buffer') return Buffer.from(v.data).toString('base64')
  return v
}
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const ask = JSON.parse(line)
  let answer
  try {
    if (ask.decode !== undefined) {
      const payload = codec.decodePayload(Buffer.from(ask.decode, 'base64'))
      answer = { payload, again: Buffer.from(codec.encodePayload(payload)).toString('base64') }
    } else {
      for (const m of ask.encode.metrics) if (m.type === 'Bytes') m.value = Buffer.from(m.value, 'base64')
      answer = { encoded: Buffer.from(codec.encodePayload(ask.encode)).toString('base64') }
    }
  } catch (e) { answer = { error: String(e) } }
  console.log(JSON.stringify(answer, plain))
})
