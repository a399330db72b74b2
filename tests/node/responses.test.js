// Streams over real servers: what is tried with one framework only.
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import http2 from 'node:http2'
import { connect as dial } from 'node:net'
import { test } from 'node:test'

import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'

import { frameworks } from './apps.js'
import { eventually, open, serving, sleep, warnings } from './helpers.js'

const data = list => list.map(e => e.data)

test('a handler that has answered is left alone', async () => {
  const hub = new Hub()
  const routes = {
    '/no': sse((_req, res) => {
      res.statusCode = 401
      res.end('no')
    }),
    '/late': sse(async (_req, res) => {
      await sleep(5)
      res.writeHead(302, { Location: '/' })
      res.end()
      return hub.subscribe('t')
    }),
  }
  await serving(frameworks['express 5'](routes), async url => {
    assert.equal((await open(`${url}/no`)).status, 401)
    assert.equal((await open(`${url}/late`)).status, 302)
    assert.equal(hub.stats().opened, 0)
  })
})

test('without next, a failure is 500 and is reported', async () => {
  const log = warnings()
  const handler = sse(() => {
    throw new Error('thrown')
  })
  await serving((req, res) => handler(req, res), async url => {
    const stream = await open(url)
    await stream.end()
    assert.equal(stream.status, 500)
    assert.equal(stream.text.includes('thrown'), false)
  })
  await eventually(() => log.seen.length > 0)
  log.stop()
})

test('the source runs in the context of the request', async () => {
  const storage = new AsyncLocalStorage()
  const handler = sse(async function* () {
    yield storage.getStore()
    await sleep(2)
    yield storage.getStore()
  })
  await serving((req, res) => storage.run('mine', () => handler(req, res)), async url => {
    const stream = await open(url)
    await stream.end()
    assert.deepEqual(data(stream.events), ['mine', 'mine'])
  })
})

test('the head goes out before the first item, after a second', async () => {
  let go
  const handler = sse(async function* () {
    await new Promise(resolve => { (go = resolve) })
    yield 'x'
  })
  await serving(handler, async url => {
    const stream = await open(url)
    assert.equal(stream.status, 200)
    assert.equal(stream.text, '')
    go()
    await stream.take(1)
    await stream.end()
  })
})

test('heartbeats, of subscriptions and of iterables', async () => {
  const hub = new Hub({ heartbeat: 0.05 })
  const idle = async function* () {
    await sleep(200)
    yield 'x'
  }
  const routes = {
    '/hub': sse(() => hub.subscribe('t')),
    '/own': sse(() => hub.subscribe('t'), { heartbeat: 0.02 }),
    '/off': sse(() => hub.subscribe('t'), { heartbeat: false }),
    '/chat': sse(idle, { heartbeat: 0.03 }),
  }
  await serving(frameworks['node:http'](routes), async url => {
    const off = await open(`${url}/off`)
    for (const path of ['/hub', '/own', '/chat']) {
      const stream = await open(url + path)
      await stream.until(() => (stream.text.match(/^:$/gm) ?? []).length >= 2, 'two heartbeats')
    }
    assert.equal(off.text.includes(':\n:\n'), false)
    assert.equal(/^:$/m.test(off.text), false)
  })
})

test('options of one stream: status, headers, no position, ages', async () => {
  const hub = new Hub()
  const reasons = []
  const onClose = info => reasons.push(info.reason)
  const forever = async function* (_req, _res, { signal }) {
    yield 'x'
    await new Promise(resolve => { signal.addEventListener('abort', resolve) })
  }
  const routes = {
    '/head': sse(() => hub.subscribe('t'), {
      status: 201,
      headers: { 'X-Own': 'yes', 'Cache-Control': 'private' },
      announcePosition: false,
    }),
    '/age': sse(() => hub.subscribe('t'), { maxAge: 0.05, onClose }),
    '/expiry': sse(() => hub.subscribe('t'), { expiresAt: () => new Date(Date.now() + 50), onClose }),
    '/chat': sse(forever, { expiresAt: Date.now() + 50, onClose }),
  }
  await serving(frameworks['express 5'](routes), async url => {
    const stream = await open(`${url}/head`)
    assert.equal(stream.status, 201)
    assert.equal(stream.headers['x-own'], 'yes')
    assert.equal(stream.headers['cache-control'], 'private')
    hub.publish('t', 1)
    await stream.take(1)
    assert.equal(stream.text.startsWith('retry: 3000\nid: '), true)
    for (const [path, reason] of [['/age', 'max_age'], ['/expiry', 'expired'], ['/chat', 'expired']]) {
      const aged = await open(url + path)
      await aged.end()
      assert.ok(aged.complete)
      await eventually(() => reasons.includes(reason) && reasons.splice(0).length > 0)
    }
  })
})

test('options are checked when the route is made', () => {
  const handler = () => []
  assert.throws(() => sse(), TypeError)
  for (const options of [
    { nope: 1 },
    { status: '200' },
    { key: 7 },
    { snapshot: 7 },
    { heartbeat: '1' },
    { handoff: 'maybe' },
    { maxAge: '1' },
    { expiresAt: 'tomorrow' },
    { once: 1 },
    { onClose: 1 },
    { refuse: 'no' },
  ]) {
    assert.throws(() => sse(handler, options), TypeError, JSON.stringify(options))
  }
  for (const handoff of ['detach', 'hold', 'off', 'require']) sse(handler, { handoff })
})

for (const handoff of ['off', 'hold']) test(`${handoff}: a connection serves other requests after a stream`, async () => {
  const hub = new Hub()
  const stream = sse(() => hub.subscribe('t'), { handoff })
  await serving(
    (req, res) => (req.url === '/events' ? stream(req, res) : res.end('plain')),
    async (_url, server) => {
      const socket = dial(server.address().port, '127.0.0.1')
      let text = ''
      socket.on('data', chunk => (text += chunk))
      // Two requests at once: the second must wait for the end of the first.
      socket.write('GET /events HTTP/1.1\r\nHost: x\r\n\r\nGET /other HTTP/1.1\r\nHost: x\r\n\r\n')
      await eventually(() => hub.stats().connections === 1)
      hub.publish('t', 'grüß')
      await eventually(() => text.includes('grüß'))
      assert.equal(hub.disconnect({ topic: 't' }), 1)
      await eventually(() => text.includes('plain'))
      assert.match(text, /\r\n0\r\n\r\nHTTP\/1\.1 200 OK/)
      // Each chunk's length is right.
      let body = text.slice(text.indexOf('\r\n\r\n') + 4, text.lastIndexOf('HTTP/1.1'))
      let size = -1
      while (size !== 0) {
        size = parseInt(body, 16)
        const chunk = Buffer.from(body).subarray(body.indexOf('\r\n') + 2)
        assert.equal(chunk.subarray(size, size + 2).toString(), '\r\n')
        body = chunk.subarray(size + 2).toString()
      }
      assert.equal(body, '')
      socket.destroy()
    },
  )
})

test('in-loop: HTTP/1.0, and a response whose write belongs to somebody else', async () => {
  const hub = new Hub()
  const stream = sse(() => hub.subscribe('t'), { handoff: 'off' })
  const written = []
  const app = (req, res) => {
    if (req.url === '/patched') {
      const { write } = res
      res.write = (...args) => {
        written.push(String(args[0]))
        write.apply(res, args)
      }
    }
    stream(req, res)
  }
  await serving(app, async (url, server) => {
    const patched = await open(`${url}/patched`)
    hub.publish('t', 'one')
    hub.publish('t', 'two')
    assert.deepEqual(data(await patched.take(2)), ['one', 'two'])
    assert.ok(written.join('').includes('data: one'))
    assert.equal(hub.disconnect({ topic: 't' }), 1)
    await patched.end()
    assert.ok(patched.complete)
    const socket = dial(server.address().port, '127.0.0.1')
    let text = ''
    socket.on('data', chunk => (text += chunk))
    socket.write('GET / HTTP/1.0\r\n\r\n')
    await eventually(() => text.includes('retry: 3000'))
    assert.equal(text.includes('chunked'), false)
    hub.publish('t', 'three')
    await eventually(() => text.endsWith('data: three\n\n'))
    socket.destroy()
  })
})

test('HTTP/2', async () => {
  const hub = new Hub()
  const events = sse(() => hub.subscribe('t'))
  const failing = sse(async function* () {
    yield 'x'
    await sleep(5)
    throw new Error('secret')
  })
  const log = warnings()
  const server = http2.createServer((req, res) => (req.url === '/fail' ? failing : events)(req, res))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = http2.connect(`http://127.0.0.1:${server.address().port}`)
  const get = path => {
    const stream = client.request({ ':path': path })
    const seen = { text: '', headers: undefined, code: undefined, stream }
    stream.on('response', headers => (seen.headers = headers))
    stream.on('data', chunk => (seen.text += chunk))
    stream.on('close', () => (seen.code = stream.rstCode))
    stream.on('error', () => {})
    return seen
  }
  try {
    const [left, kept, failed] = [get('/'), get('/'), get('/fail')]
    await eventually(() => kept.text !== '' && left.text !== '')
    assert.equal(kept.headers.connection, undefined)
    hub.publish('t', 'one')
    await eventually(() => left.text.includes('data: one') && kept.text.includes('data: one'))
    left.stream.close()
    await eventually(() => hub.stats().connections === 1)
    // An error is no proper end.
    await eventually(() => failed.code !== undefined)
    assert.equal(failed.code, http2.constants.NGHTTP2_INTERNAL_ERROR)
    assert.ok(failed.text.includes('ssehub:error'))
    // Closing the server ends the stream, and the session with it.
    const closed = once(server, 'close')
    server.close()
    await closed
    assert.equal(kept.code, 0)
    assert.match(kept.text, /retry: \d+\n\n$/)
  } finally {
    client.destroy()
    server.close()
    log.stop()
  }
})
