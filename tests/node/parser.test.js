import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'
import { EventTooLargeError, Parser, encode } from 'ssehub'

import { vectors } from './helpers.js'

const cases = vectors('parse')
const bytesOf = c => (c.input_hex === undefined ? Buffer.from(c.input) : Buffer.from(c.input_hex.replaceAll(' ', ''), 'hex'))

function parse(c, chunks) {
  const parser = new Parser(c.max_event_size === undefined ? {} : { maxEventSize: c.max_event_size })
  const events = []
  const counts = []
  let error = null
  for (const chunk of chunks) {
    try {
      events.push(...parser.feed(chunk))
    } catch (thrown) {
      assert.ok(thrown instanceof EventTooLargeError, String(thrown))
      assert.equal(thrown.code, 'ERR_SSEHUB_EVENT_TOO_LARGE')
      events.push(...thrown.events)
      error = 'event_too_large'
      break
    }
    counts.push(events.length)
  }
  return { events, counts, error, lastEventId: parser.lastEventId, retry: parser.retry }
}

function check(c, chunks, name) {
  const got = parse(c, chunks)
  const events = c.events.map(({ event = 'message', data, id = '' }) => ({ event, data, id }))
  assert.deepEqual(got.events, events, `${c.name}, ${name}`)
  assert.equal(got.lastEventId, c.last_event_id ?? '', `${c.name}, ${name}: last event id`)
  assert.equal(got.retry, c.retry ?? null, `${c.name}, ${name}: retry`)
  assert.equal(got.error, c.error ?? null, `${c.name}, ${name}: error`)
  return got
}

function pieces(bytes, lengths) {
  let at = 0
  return lengths.map(length => bytes.subarray(at, (at += length)))
}

test('vectors, whole', () => {
  assert.ok(cases.length > 200)
  for (const c of cases) check(c, [bytesOf(c)], 'whole')
})

test('vectors, one byte at a time', () => {
  for (const c of cases) {
    const bytes = bytesOf(c)
    if (bytes.length > 200_000) continue
    check(c, pieces(bytes, Array(bytes.length).fill(1)), 'byte by byte')
  }
})

test('vectors, in their chunks', () => {
  for (const c of cases.filter(known => known.chunks !== undefined)) {
    const got = check(c, pieces(bytesOf(c), c.chunks), 'chunks')
    if (c.events_after_chunk !== undefined && got.error === null) assert.deepEqual(got.counts, c.events_after_chunk, c.name)
  }
})

test('any chunking gives the same events', () => {
  const line = fc.oneof(
    fc.constantFrom('data: x', 'data', 'event: e', 'id: 7', 'id', 'retry: 10', ': c', '', '', 'data: é日🙂', 'foo: bar', '\u{feff}data: x'),
    fc.string({ unit: 'grapheme' }),
  )
  const stream = fc.array(fc.tuple(line, fc.constantFrom('\n', '\r', '\r\n'))).map(lines => lines.flat().join(''))
  fc.assert(
    fc.property(stream, fc.array(fc.nat({ max: 7 }), { minLength: 1 }), (text, sizes) => {
      const bytes = Buffer.from(text)
      const chunks = []
      for (let at = 0, i = 0; at < bytes.length; i += 1) {
        const size = sizes[i % sizes.length] || (i % 3 === 0 ? 1 : 0)
        chunks.push(bytes.subarray(at, (at += size)))
        if (i > 100_000) break
      }
      const whole = parse({}, [bytes])
      const cut = parse({}, chunks)
      assert.deepEqual(cut.events, whole.events)
      assert.equal(cut.lastEventId, whole.lastEventId)
      assert.equal(cut.retry, whole.retry)
    }),
  )
})

test('what is encoded parses back to itself', () => {
  const text = fc.string({ unit: 'binary' }).filter(s => s.isWellFormed())
  const oneLine = text.map(s => s.replaceAll(/[\r\n\0]/g, ' '))
  const fields = fc.record(
    {
      data: text,
      event: oneLine.filter(s => !s.startsWith('ssehub:')),
      id: oneLine,
      retry: fc.maxSafeNat(),
      comment: text,
    },
    { requiredKeys: ['data'] },
  )
  fc.assert(
    fc.property(fields, given => {
      const parser = new Parser()
      const events = parser.feed(encode(given))
      assert.deepEqual(events, [
        { event: given.event || 'message', data: given.data.replaceAll(/\r\n?/g, '\n'), id: given.id ?? '' },
      ])
      assert.equal(parser.retry, given.retry ?? null)
    }),
  )
})

test('ids, long texts and mixed texts survive the hand-over', () => {
  const parser = new Parser()
  const long = 'x'.repeat(200_000)
  const wide = '日本語🙂'.repeat(40_000)
  const wire = `id: é1\nevent: ß\ndata: ${long}\n\ndata: ${wide}\n\nid: 2\ndata: ${long}\n\nid\ndata: z\n\n`
  assert.deepEqual(parser.feed(Buffer.from(wire)), [
    { event: 'ß', data: long, id: 'é1' },
    { event: 'message', data: wide, id: 'é1' },
    { event: 'message', data: long, id: '2' },
    { event: 'message', data: 'z', id: '' },
  ])
  assert.equal(parser.lastEventId, '')
  assert.deepEqual(parser.feed(Buffer.from('data: again\n\n')), [{ event: 'message', data: 'again', id: '' }])
})

test('wrong arguments', () => {
  const parser = new Parser()
  for (const chunk of ['text', null, undefined, 7, {}, new ArrayBuffer(2)]) {
    assert.throws(() => parser.feed(chunk), TypeError)
  }
  assert.throws(() => new Parser({ maxEventSize: 0 }), RangeError)
  assert.throws(() => new Parser({ maxEventSize: '1' }), TypeError)
  assert.throws(() => new Parser({ maxeventsize: 1 }), /maxeventsize/)
})

test('after a failure the parser goes on failing', () => {
  const parser = new Parser({ maxEventSize: 10 })
  assert.throws(() => parser.feed(Buffer.from('data: ok\n\ndata: far too long for it\n\n')), error => {
    assert.deepEqual(error.events, [{ event: 'message', data: 'ok', id: '' }])
    return error instanceof EventTooLargeError
  })
  assert.throws(() => parser.feed(Buffer.from('data: x\n\n')), EventTooLargeError)
})
