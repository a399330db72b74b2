import assert from 'node:assert/strict'
import { test } from 'node:test'
import vm from 'node:vm'

import { Hub, encode, event } from 'ssehub'

import { vectors } from './helpers.js'

const invalid = { name: 'TypeError', code: 'ERR_SSEHUB_INVALID_ARGUMENT' }

test('vectors', () => {
  const cases = vectors('encode')
  assert.ok(cases.length > 50)
  for (const c of cases) {
    if (c.error === undefined) {
      assert.equal(encode(c.event).toString(), c.wire, c.name)
      assert.equal(encode(event(c.event)).toString(), c.wire, c.name)
      assert.ok(Buffer.isBuffer(encode(c.event)))
    } else {
      const isBad = error => error instanceof TypeError || error instanceof RangeError
      assert.throws(() => encode(c.event), isBad, c.name)
      assert.throws(() => event(c.event), isBad, c.name)
    }
  }
})

test('long texts with characters of every width, at every place', () => {
  for (const char of ['é', '日', '🙂', '🙂🙂', 'é日🙂x']) {
    for (let at = 0; at < 70; at += 1) {
      for (const tail of [0, 1, 31, 2000]) {
        const data = 'x'.repeat(at) + char + 'y'.repeat(tail)
        assert.equal(encode({ data }).toString(), `data: ${data}\n\n`)
      }
    }
  }
})

test('an event is frozen and keeps its fields', () => {
  const made = event({ data: { a: 1 }, event: 'note', id: '7', retry: 10, comment: 'c' })
  assert.ok(Object.isFrozen(made))
  assert.deepEqual({ ...made }, { data: '{"a":1}', event: 'note', id: '7', retry: 10, comment: 'c' })
  assert.equal(event(made), made)
  assert.equal(event({ comment: 'x' }).data, undefined)
})

const good = [
  ['text', 'text'],
  ['', ''],
  [Buffer.from('grüß'), 'grüß'],
  [new Uint8Array([0xef, 0xbb, 0xbf, 0x61]), '\u{feff}a'],
  [vm.runInNewContext('new Uint8Array([97])'), 'a'],
  [null, 'null'],
  [0, '0'],
  [-1.5, '-1.5'],
  [true, 'true'],
  [{ a: [1, 'é'] }, '{"a":[1,"é"]}'],
  [[], '[]'],
  [{ a: null }, '{"a":null}'],
  [{ a: undefined }, '{}'],
  ['null', 'null'],
  [{ text: 'null' }, '{"text":"null"}'],
  [new Date(0), '"1970-01-01T00:00:00.000Z"'],
  [{ a: '\ud800' }, '{"a":"\\ud800"}'],
]
const bad = [
  undefined,
  10n,
  { a: 10n },
  { a: { b: [1n] } },
  NaN,
  Infinity,
  { a: NaN },
  [[-Infinity]],
  { a: new Number(NaN) },
  () => 1,
  Symbol('x'),
  Promise.resolve(1),
  new ArrayBuffer(1),
  new Uint8Array([0xff]),
  '\ud800',
  'a\udc00b',
  { toJSON: () => undefined },
]

test('the data rule', () => {
  const hub = new Hub()
  for (const [value, text] of good) {
    assert.equal(event({ data: value }).data, text)
    assert.equal(encode({ data: value }).toString(), `data: ${text}\n\n`)
    hub.publish('t', value)
  }
  for (const value of bad) {
    assert.throws(() => event({ data: value }), invalid, String(typeof value))
    assert.throws(() => encode({ data: value }), invalid)
    assert.throws(() => hub.publish('t', value), invalid)
  }
  const loop = {}
  loop.self = loop
  assert.throws(() => event({ data: loop }), invalid)
  const own = new Error('mine')
  const throwing = {
    toJSON() {
      throw own
    },
  }
  assert.throws(() => event({ data: throwing }), error => error === own)
  hub.close()
})

test('stringify replaces JSON', async () => {
  const hub = new Hub({ stringify: value => `<${value.a}>` })
  const reader = hub.subscribe('t')[Symbol.asyncIterator]()
  const first = reader.next()
  hub.publish('t', { a: 1 })
  hub.publish('t', 'text')
  assert.equal((await first).value.data, '<1>')
  assert.equal((await reader.next()).value.data, 'text')
  await reader.return()
  assert.throws(() => new Hub({ stringify: () => undefined }).publish('t', {}), invalid)
  assert.throws(() => new Hub({ stringify: 7 }), invalid)
})

test('fields of wrong types, forms and ranges', () => {
  for (const fields of [{ event: 1 }, { id: {} }, { comment: 1n }, { retry: '1' }, { retry: 1n }, { dat: 'x' }]) {
    assert.throws(() => event({ data: 'x', ...fields }), invalid)
  }
  for (const retry of [-1, 1.5, NaN, Infinity, 2 ** 53]) {
    assert.throws(() => event({ retry }), { name: 'RangeError', code: 'ERR_SSEHUB_OUT_OF_RANGE' })
  }
  for (const name of ['event', 'id', 'comment']) {
    assert.throws(() => event({ data: 'x', [name]: '\ud800' }), invalid)
  }
  for (const name of ['event', 'id']) {
    for (const text of ['a\nb', 'a\rb', '\r\n']) assert.throws(() => encode({ data: 'x', [name]: text }), invalid)
  }
  assert.throws(() => encode({ data: 'x', id: 'a\0' }), { field: 'id' })
  assert.throws(() => encode({ data: 'x', event: 'ssehub:gap' }), /reserved/)
  assert.throws(() => encode({}), invalid)
  for (const fields of [null, undefined, 'x', 7]) assert.throws(() => event(fields), invalid)
})

test('an Event and options of its fields contradict each other', () => {
  const hub = new Hub()
  hub.publish('t', event({ data: 'x' }), { key: 'k' })
  assert.throws(() => hub.publish('t', event({ data: 'x' }), { event: 'y' }), invalid)
  assert.throws(() => hub.publish('t', event({ comment: 'x' })), invalid)
  hub.close()
})
