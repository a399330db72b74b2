import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'

import { EventSourceStream, EventTooLargeError, events } from 'ssehub'

import { open, serving } from './helpers.js'

const wire = 'id: 1\ndata: a\n\nevent: e\ndata: é\n\nretry: 7\ndata: c\n\n'
const expected = [
  { event: 'message', data: 'a', id: '1' },
  { event: 'e', data: 'é', id: '1' },
  { event: 'message', data: 'c', id: '1' },
]
const bytes = Buffer.from(wire)
const pieces = size => Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))

async function all(source) {
  const seen = []
  for await (const e of events(source)) seen.push(e)
  return seen
}

test('every kind of source', async () => {
  assert.deepEqual(await all(new Response(wire)), expected)
  assert.deepEqual(await all(new Response(wire).body), expected)
  assert.deepEqual(await all(Readable.from(pieces(3))), expected)
  assert.deepEqual(await all(pieces(1)), expected)
  assert.deepEqual(await all(new Response(null)), [])
  const generator = async function* () {
    yield* pieces(5)
  }
  assert.deepEqual(await all(generator()), expected)
  await serving(
    (req, res) => res.end(wire),
    async url => {
      assert.deepEqual(await all(await fetch(url)), expected)
      assert.deepEqual((await open(url)).status, 200)
    },
  )
})

test('what is no source', () => {
  for (const source of [null, undefined, 'text', 7, {}, bytes]) assert.throws(() => events(source), TypeError)
})

test('chunks that are no bytes', async () => {
  await assert.rejects(all(['data: x\n\n']), TypeError)
})

test('position and reconnection time are known', async () => {
  const reader = events(new Response(wire))
  await reader.next()
  assert.equal(reader.lastEventId, '1')
  assert.equal(reader.retry, 7)
})

function endless() {
  const state = { cancelled: 0, pulled: 0 }
  const body = new ReadableStream({
    pull(controller) {
      state.pulled += 1
      controller.enqueue(Buffer.from('data: x\n\ndata: y\n\n'))
    },
    cancel() {
      state.cancelled += 1
    },
  })
  return { body, state }
}

test('leaving the loop cancels the source', async () => {
  const { body, state } = endless()
  for await (const e of events(body)) {
    assert.equal(e.data, 'x')
    break
  }
  assert.equal(state.cancelled, 1)
  const reader = events(endless().body)
  await reader.next()
  assert.deepEqual(await reader.return('r'), { value: 'r', done: true })
  assert.deepEqual(await reader.next(), { value: undefined, done: true })
  await reader.return()
})

test('return() ends a call of next() that waits', async () => {
  let cancelled = false
  const body = new ReadableStream({ cancel: () => void (cancelled = true) })
  const reader = events(body)
  const waiting = reader.next()
  await reader.return()
  assert.deepEqual(await waiting, { value: undefined, done: true })
  assert.ok(cancelled)
})

test('calls of next() that overlap get events in order', async () => {
  const reader = events(Readable.from(pieces(4)))
  const steps = await Promise.all([reader.next(), reader.next(), reader.next(), reader.next()])
  assert.deepEqual(steps.map(step => step.value), [...expected, undefined])
})

test('an error of the source arrives', async () => {
  const source = (async function* () {
    yield Buffer.from('data: x\n\n')
    throw new Error('broken')
  })()
  const reader = events(source)
  assert.equal((await reader.next()).value.data, 'x')
  await assert.rejects(reader.next(), /broken/)
  assert.deepEqual(await reader.next(), { value: undefined, done: true })
})

test('events before one that is too large arrive first', async () => {
  const body = new Response(`data: ok\n\ndata: ${'x'.repeat(100)}\n\n`)
  const reader = events(body, { maxEventSize: 50 })
  assert.equal((await reader.next()).value.data, 'ok')
  await assert.rejects(reader.next(), EventTooLargeError)
  assert.equal((await reader.next()).done, true)
})

test('EventSourceStream', async () => {
  const seen = []
  for await (const e of new Response(wire).body.pipeThrough(new EventSourceStream())) seen.push(e)
  assert.deepEqual(seen, expected)
  const failing = new Response(`data: ok\n\ndata: ${'x'.repeat(100)}\n\n`).body.pipeThrough(
    new EventSourceStream({ maxEventSize: 50 }),
  )
  await assert.rejects(
    async () => {
      for await (const e of failing) assert.fail(e)
    },
    error => error instanceof EventTooLargeError && error.events.length === 1,
  )
})
