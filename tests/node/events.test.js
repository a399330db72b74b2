import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'

import { EventSourceStream, EventTooLargeError, events } from 'ssehub'

import { eventually, open, serving, sleep } from './helpers.js'

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

test('signal: ends the loop with its reason, at once, and gives the source up', async () => {
  const reason = new Error('enough')
  const silent = () => {
    const state = { cancelled: undefined }
    const body = new ReadableStream({ cancel: why => void (state.cancelled = why) })
    return { body, state }
  }
  // While it waits.
  const { body, state } = silent()
  const controller = new AbortController()
  const reader = events(body, { signal: controller.signal })
  const waiting = reader.next()
  controller.abort(reason)
  await assert.rejects(waiting, reason)
  assert.equal(state.cancelled, reason)
  assert.deepEqual(await reader.next(), { value: undefined, done: true })
  // Before it begins.
  const late = silent()
  await assert.rejects(events(late.body, { signal: AbortSignal.abort(reason) }).next(), reason)
  assert.equal(late.state.cancelled, reason)
  // In the middle: what was not taken is not told any more.
  const stop = new AbortController()
  const source = endless()
  const seen = []
  await assert.rejects(async () => {
    for await (const { data } of events(source.body, { signal: stop.signal })) {
      seen.push(data)
      stop.abort(reason)
    }
  }, reason)
  assert.deepEqual([seen, source.state.cancelled], [['x'], 1])
  // After the end it changes nothing, and nobody listens to it any more.
  const over = new AbortController()
  let listeners = 0
  const { addEventListener, removeEventListener } = over.signal
  over.signal.addEventListener = (...given) => (listeners += 1, addEventListener.apply(over.signal, given))
  over.signal.removeEventListener = (...given) => (listeners -= 1, removeEventListener.apply(over.signal, given))
  const done = events(new Response(wire), { signal: over.signal })
  for await (const event of done) assert.ok(event)
  assert.equal(listeners, 0)
  over.abort(reason)
  assert.equal((await done.next()).done, true)
  assert.throws(() => events(new Response(wire), { signal: {} }), TypeError)
  assert.throws(() => events(new Response(wire), { signals: over.signal }), /signals/)
})

test('signal: a response that says nothing, and a source that is no stream', async () => {
  let left = false
  const app = (req, res) => {
    res.on('close', () => (left = true))
    res.write(': hello\n')
  }
  await serving(app, async url => {
    const { res } = await open(url)
    res.removeAllListeners('data')
    res.pause()
    const controller = new AbortController()
    const waiting = events(res, { signal: controller.signal }).next()
    setTimeout(() => controller.abort(), 50)
    await assert.rejects(waiting, { name: 'AbortError' })
    await eventually(() => left, 'the end of the connection')
  })
  const never = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}), return: () => { throw new Error('not now') } }) }
  const controller = new AbortController()
  const waiting = events(never, { signal: controller.signal }).next()
  controller.abort()
  await assert.rejects(waiting, { name: 'AbortError' })
})

test('return() ends a call of next() that waits for an IncomingMessage', async () => {
  await serving((req, res) => res.write(': hello\n'), async url => {
    const { res } = await open(url)
    res.removeAllListeners('data')
    res.pause()
    const reader = events(res)
    const waiting = reader.next()
    // The comment has come by then, and nothing will.
    await sleep(50)
    await reader.return()
    assert.deepEqual(await waiting, { value: undefined, done: true })
  })
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

test('EventSourceStream: given up by the signal of pipeThrough', async () => {
  const reason = new Error('enough')
  const { body, state } = endless()
  const controller = new AbortController()
  const reader = body.pipeThrough(new EventSourceStream(), { signal: controller.signal }).getReader()
  assert.equal((await reader.read()).value.data, 'x')
  controller.abort(reason)
  await assert.rejects(async () => { for (;;) await reader.read() }, reason)
  await eventually(() => state.cancelled === 1, 'the end of the source')
})
