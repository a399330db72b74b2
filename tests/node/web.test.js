// Request in, Response out: plain, in Hono, and in Hono on node:http.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'

import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { Hub, event, events } from 'ssehub'
import { toResponse } from 'ssehub/web'

import { eventually, open, serving, sleep, warnings, within } from './helpers.js'

const data = list => list.map(e => e.data)
const get = (path = '/', headers = {}, init = {}) => new Request(`http://localhost${path}`, { headers, ...init })

async function take(reader, count) {
  const seen = []
  while (seen.length < count) {
    const { value, done } = await within(5000, reader.next(), 'an event')
    if (done) break
    seen.push(value)
  }
  return seen
}

test('a hub stream: head, events, resume, leaving', async () => {
  const hub = new Hub()
  const response = toResponse(get(), hub.subscribe('t'), { headers: { 'X-Own': 'yes' } })
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('content-type'), 'text/event-stream')
  assert.equal(response.headers.get('cache-control'), 'no-cache, no-transform')
  assert.equal(response.headers.get('x-own'), 'yes')
  hub.publish('t', 1)
  const reader = events(response)
  assert.deepEqual(data(await take(reader, 1)), ['1'])
  const position = reader.lastEventId
  const next = reader.next()
  hub.publish('t', 2)
  assert.equal((await next).value.data, '2')
  assert.equal(hub.stats().connections, 1)
  await reader.return()
  assert.equal(hub.stats().connections, 0)
  hub.publish('t', 3)
  for (const request of [get('/', { 'Last-Event-ID': position }), get(`/?lastEventId=${position}`)]) {
    const resumed = events(toResponse(request, hub.subscribe('t')))
    assert.deepEqual(data(await take(resumed, 2)), ['2', '3'])
    await resumed.return()
  }
})

test('an iterable, a function, the mark', async () => {
  const controllers = []
  const source = async function* ({ signal }) {
    controllers.push(signal)
    yield 'a'
    yield { b: 1 }
    yield event({ data: 'c' })
  }
  const response = toResponse(get(), source)
  assert.equal(await response.text(), 'data: a\n\ndata: {"b":1}\n\ndata: c\n\nid: ssehub:end\n\n')
  const again = toResponse(get('/', { 'Last-Event-ID': 'ssehub:end' }), source)
  assert.equal(again.status, 204)
  assert.equal(controllers.length, 1)
  assert.equal(await toResponse(get('/', {}, { method: 'POST' }), ['x']).text(), 'data: x\n\n')
})

test('a source that nobody reads is not run, and leaves when its request does', async () => {
  let ran = false
  const source = (async function* () {
    ran = true
    yield 'x'
  })()
  const hub = new Hub()
  const controller = new AbortController()
  const request = get('/', {}, { signal: controller.signal })
  toResponse(request, source)
  toResponse(request, hub.subscribe('t'))
  await sleep(5)
  assert.equal(ran, false)
  assert.equal(hub.stats().connections, 1)
  controller.abort()
  assert.equal(hub.stats().connections, 0)
  const late = toResponse(get('/', {}, { signal: controller.signal }), hub.subscribe('t'))
  assert.equal(hub.stats().connections, 0)
  await late.body.cancel().catch(() => {})
})

test('leaving while the source waits', async () => {
  let finished = false
  const response = toResponse(get(), async function* ({ signal }) {
    try {
      yield 'x'
      await new Promise((_resolve, reject) => { signal.addEventListener('abort', () => reject(signal.reason)) })
    } finally {
      finished = true
    }
  })
  const log = warnings()
  const reader = events(response)
  await reader.next()
  const waiting = reader.next()
  await reader.return()
  assert.equal((await waiting).done, true)
  await eventually(() => finished, 'the end of the source', 1000)
  log.stop()
})

test('errors: the body is cut, without details', async () => {
  const log = warnings()
  const response = toResponse(get(), async function* () {
    yield 'x'
    throw new Error('secret')
  })
  const reader = events(response)
  const seen = await take(reader, 2)
  assert.deepEqual(seen.map(e => e.event), ['message', 'ssehub:error'])
  await assert.rejects(reader.next(), /cut/)
  await eventually(() => log.seen.length === 1)
  assert.match(String(log.seen[0]), /secret/)
  log.stop()
})

test('pull by pull: what is not read is not made', async () => {
  let made = 0
  const response = toResponse(get(), async function* () {
    for (;;) {
      made += 1
      yield 'x'
    }
  })
  const reader = response.body.getReader()
  await reader.read()
  await sleep(20)
  assert.ok(made <= 3, `${made} items`)
  await reader.cancel()
})

test('HEAD, refusals, wrong arguments', async () => {
  const hub = new Hub({ limits: { connections: 1 } })
  const head = toResponse(get('/', {}, { method: 'HEAD' }), hub.subscribe('t'))
  assert.equal(head.body, null)
  assert.equal(head.headers.get('content-type'), 'text/event-stream')
  const one = toResponse(get(), hub.subscribe('t'))
  const refused = toResponse(get('/', { Accept: 'text/event-stream' }), hub.subscribe('t'))
  assert.equal(refused.status, 200)
  assert.match(await refused.text(), /^retry: \d+\n\n$/)
  const status = toResponse(get(), hub.subscribe('t'), { refuse: 'status' })
  assert.equal(status.status, 429)
  assert.ok(Number(status.headers.get('retry-after')) > 0)
  await one.body.cancel()
  for (const source of ['text', 7, null, undefined]) assert.throws(() => toResponse(get(), source), TypeError)
  assert.throws(() => toResponse({}, hub.subscribe('t')), TypeError)
  assert.throws(() => toResponse(get(), hub.subscribe('t'), { nope: 1 }), TypeError)
  assert.throws(() => toResponse(get(), hub.subscribe('t'), { handoff: 'require' }), { code: 'ERR_SSEHUB_HANDOFF' })
  assert.equal(hub.stats().handoffsRefused.transport, 1)
})

test('Hono on node:http', async () => {
  const hub = new Hub()
  const app = new Hono()
  app.use(async (c, next) => {
    await next()
    c.header('X-Own', 'yes')
  })
  app.get('/events', c => toResponse(c.req.raw, hub.subscribe('t')))
  app.post('/chat', c => toResponse(c.req.raw, (async function* () {
    yield await c.req.text()
  })()))
  await serving(createServer(getRequestListener(app.fetch)), async url => {
    const stream = await open(`${url}/events`)
    assert.equal(stream.headers['content-type'], 'text/event-stream')
    assert.equal(stream.headers['x-own'], 'yes')
    await stream.until(() => stream.lastEventId !== '')
    for (let n = 0; n < 50; n += 1) hub.publish('t', n)
    assert.equal((await stream.take(50)).at(-1).data, '49')
    stream.close()
    await eventually(() => hub.stats().connections === 0)
    const chat = await open(`${url}/chat`, { method: 'POST', body: 'hello' })
    await chat.end()
    assert.equal(chat.text, 'data: hello\n\n')
  })
})
