// Sockets that go to the engine: what servers and clients may do about it.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import { connect as dial } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { test } from 'node:test'

import morgan from 'morgan'
import pinoHttp from 'pino-http'
import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'

import { expressApp } from './apps.js'
import { eventually, open, raw, serving, sleep, unchunk, warnings } from './helpers.js'

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
const modes = [['detach', 'detached'], ['hold', 'held']]
const refusals = hub => hub.stats().handoffsRefused

for (const [handoff, mode] of modes) {
  test(`${handoff}: loggers see an ordinary response`, async () => {
    const hub = new Hub()
    const lines = []
    const into = new Writable({ write: (chunk, _encoding, done) => done(void lines.push(String(chunk))) })
    const seen = []
    const watch = (req, res, next) => {
      req.on('aborted', () => seen.push('aborted'))
      for (const name of ['finish', 'close', 'error']) res.on(name, () => seen.push(name))
      next()
    }
    const handler = sse(() => hub.subscribe('t'), { handoff })
    const server = expressApp(handler, morgan(':method :url :status', { stream: into }), pinoHttp({}, into), watch)
    await serving(server, async url => {
      const stream = await open(url)
      await eventually(() => hub.stats()[mode] === 1, mode)
      hub.publish('t', 'one')
      await stream.take(1)
      assert.equal(seen.length, handoff === 'detach' ? 2 : 0)
      hub.disconnect({ topic: 't' })
      await stream.end()
      await eventually(() => seen.length === 2)
      assert.deepEqual(seen, ['finish', 'close'])
      await eventually(() => lines.length === 2)
      assert.ok(lines.includes('GET / 200\n'))
      const { res, msg } = JSON.parse(lines.find(line => line.startsWith('{')))
      assert.deepEqual([res.statusCode, msg], [200, 'request completed'])
    })
  })

  test(`${handoff}: no timeout of the server's ends a stream`, async () => {
    const hub = new Hub()
    const server = createServer(
      { connectionsCheckingInterval: 50, requestTimeout: 100, headersTimeout: 100, keepAliveTimeout: 100 },
      sse(() => hub.subscribe('t'), { handoff }),
    )
    server.timeout = 100
    await serving(server, async url => {
      const stream = await open(url)
      await eventually(() => hub.stats()[mode] === 1, mode)
      await sleep(400)
      hub.publish('t', 'late')
      assert.equal((await stream.take(1))[0].data, 'late')
    })
  })

  test(`${handoff}: a client that stalls disturbs nobody and is let go`, async () => {
    const hub = new Hub({ maxLag: 300_000 })
    const reasons = []
    hub.on('close', info => reasons.push([info.mode, info.reason]))
    await serving(sse(() => hub.subscribe('t'), { handoff }), async (url, server) => {
      const socket = dial({ port: server.address().port, host: '127.0.0.1' })
      socket.on('error', () => {})
      socket.pause()
      socket.write(GET)
      await eventually(() => hub.stats()[mode] === 1, mode)
      const other = await open(url)
      const text = 'x'.repeat(60_000)
      for (let round = 0; reasons.length === 0 && round < 300; round += 1) {
        for (let n = 0; n < 4; n += 1) hub.publish('t', text)
        await other.take(4)
      }
      await eventually(() => reasons.length === 1)
      assert.deepEqual(reasons, [[mode, 'slow']])
      assert.deepEqual([hub.stats().connections, other.ended], [1, false])
      if (handoff === 'hold') {
        // The server's connection has gone with it.
        const count = () => new Promise(resolve => { server.getConnections((_error, connections) => resolve(connections)) })
        let connections
        await eventually(() => (count().then(found => (connections = found)), connections === 1))
      }
      socket.destroy()
    })
  })

  test(`${handoff}: after 200 streams all descriptors are back`, async () => {
    const hub = new Hub()
    const descriptors = () => readdirSync('/proc/self/fd').length
    await serving(sse(() => hub.subscribe('t'), { handoff }), async url => {
      const round = async count => {
        const streams = await Promise.all(Array.from({ length: count }, () => open(url)))
        await eventually(() => hub.stats()[mode] === count, mode)
        hub.publish('t', 'x')
        for (const stream of streams) await stream.take(1)
        // Half of them leave, half are ended.
        for (const stream of streams.slice(count / 2)) stream.close()
        await eventually(() => hub.stats().connections === count / 2)
        hub.disconnect({ topic: 't' })
        await eventually(() => hub.stats().connections === 0)
        for (const stream of streams) await stream.end()
      }
      await round(2)
      await sleep(50)
      const before = descriptors()
      await round(200)
      await eventually(() => descriptors() <= before, 'the descriptors')
    })
  })
}

test('detach: the signal is for the end of the stream, not of the response', async () => {
  const hub = new Hub()
  let signal
  let closed = false
  const handler = sse((_req, res, context) => {
    ;({ signal } = context)
    res.on('close', () => (closed = true))
    return hub.subscribe('t')
  })
  await serving(handler, async url => {
    const stream = await open(url)
    await eventually(() => closed)
    assert.equal(signal.aborted, false)
    stream.close()
    await eventually(() => signal.aborted)
  })
})

test('detach: a signal that is looked at later on is told of the end, too, and only of its own', async () => {
  const hub = new Hub()
  const contexts = []
  const closed = []
  const handler = sse((_req, _res, context) => {
    contexts.push(context)
    return hub.subscribe('t')
  }, { onClose: info => closed.push(info.reason) })
  await serving(expressApp(handler), async url => {
    const clients = [await open(url), await open(url), await open(url)]
    await eventually(() => hub.stats().detached === 3)
    const first = contexts[0].signal
    clients[1].close()
    await eventually(() => closed.length === 1)
    // Its stream is over by now.
    assert.equal(contexts[1].signal.aborted, true)
    assert.equal(first.aborted, false)
    clients[0].close()
    await eventually(() => first.aborted)
    assert.equal(contexts[2].signal.aborted, false)
    assert.equal(hub.disconnect({ topic: 't' }), 1)
    await eventually(() => contexts[2].signal.aborted)
    assert.deepEqual(closed, ['client', 'client', 'kick'])
  })
})

test('off is no refusal, and neither is an iterable', async () => {
  const hub = new Hub()
  const handlers = { '/off': sse(() => hub.subscribe('t'), { handoff: 'off' }), '/list': sse(() => ['x'], { handoff: 'require' }) }
  await serving((req, res) => handlers[req.url](req, res), async url => {
    const stream = await open(`${url}/off`)
    assert.equal(stream.headers.connection, 'close') // what the client has asked for
    await stream.until(() => stream.lastEventId !== '')
    const list = await open(`${url}/list`)
    await list.end()
    assert.ok(list.complete)
    const { detached, connections } = hub.stats()
    assert.deepEqual([detached, connections, refusals(hub)], [0, 1, {}])
  })
})

// Where no socket can be had.

function certificate() {
  const folder = mkdtempSync(join(tmpdir(), 'ssehub-'))
  const [key, cert] = ['key.pem', 'cert.pem'].map(name => join(folder, name))
  const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost', '-keyout', key, '-out', cert]
  execFileSync('openssl', args, { stdio: 'ignore' })
  return { key: readFileSync(key), cert: readFileSync(cert) }
}

test('TLS in Node: served in-loop, counted', async () => {
  const hub = new Hub()
  const required = sse(() => hub.subscribe('t'), { handoff: 'require' })
  const optional = sse(() => hub.subscribe('t'))
  const failures = []
  const server = https.createServer(certificate(), (req, res) => {
    if (req.url === '/') return optional(req, res)
    return required(req, res, error => {
      failures.push(error)
      res.statusCode = 500
      res.end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const get = async path => {
    const req = https.get({ port: server.address().port, path, rejectUnauthorized: false, agent: false })
    const [res] = await once(req, 'response')
    return { req, res }
  }
  const { req, res } = await get('/')
  let text = ''
  res.on('data', chunk => (text += chunk)).on('error', () => {})
  await eventually(() => text !== '')
  hub.publish('t', 'one')
  await eventually(() => text.endsWith('data: one\n\n'))
  assert.deepEqual([hub.stats().connections, hub.stats().detached, refusals(hub)], [1, 0, { tls: 1 }])
  const refused = await get('/require')
  assert.equal(refused.res.statusCode, 500)
  refused.res.resume()
  assert.deepEqual([failures[0].name, failures[0].code], ['HandoffError', 'ERR_SSEHUB_HANDOFF'])
  assert.match(failures[0].message, /proxy/)
  assert.deepEqual(refusals(hub), { tls: 2 })
  req.destroy()
  await eventually(() => hub.stats().connections === 0)
  assert.equal(hub.stats().closed.error, 1)
  server.close()
  server.closeAllConnections()
})

test('HTTP/2: served in-loop, counted', async () => {
  const hub = new Hub()
  const server = http2.createServer(sse(() => hub.subscribe('t')))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = http2.connect(`http://127.0.0.1:${server.address().port}`)
  const stream = client.request({ ':path': '/' })
  let text = ''
  stream.on('data', chunk => (text += chunk)).on('error', () => {})
  await eventually(() => text !== '')
  hub.publish('t', 'one')
  await eventually(() => text.endsWith('data: one\n\n'))
  assert.deepEqual(refusals(hub), { http2: 1 })
  client.destroy()
  server.close()
  await eventually(() => hub.stats().connections === 0)
})

test('require, and a middleware that rewrites: the stream is cut, and reported', async () => {
  const hub = new Hub()
  const log = warnings()
  const layer = (_req, res, next) => {
    const { write } = res
    res.write = chunk => write.call(res, `: more\n${chunk}`)
    next()
  }
  await serving(expressApp(sse(() => hub.subscribe('t'), { handoff: 'require' }), layer), async url => {
    const stream = await open(url)
    await stream.end()
    assert.equal(stream.complete, false)
    await eventually(() => log.seen.length === 1)
    assert.match(String(log.seen[0]), /HandoffError.*\(body\)/s)
    assert.deepEqual([hub.stats().closed.error, hub.stats().connections], [1, 0])
  })
  log.stop()
})

test('a request whose body has not been read is served in-loop, one that has been read is not', async () => {
  const hub = new Hub()
  const handler = sse(() => hub.subscribe('t'))
  const server = createServer((req, res) => {
    if (req.url === '/read') req.resume().on('end', () => handler(req, res))
    else handler(req, res)
  })
  await serving(server, async () => {
    const { port } = server.address()
    const head = path => `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n`
    const unread = raw(port, head('/unread') + 'x'.repeat(50_000))
    await eventually(() => refusals(hub).method === 1)
    const read = raw(port, head('/read') + 'x'.repeat(100_000))
    await eventually(() => hub.stats().detached === 1)
    hub.publish('t', 'one')
    await eventually(() => unread.text.includes('data: one') && read.text.includes('data: one'))
    for (const client of [unread, read]) client.socket.destroy()
    await eventually(() => {
      // Node does not read on where nobody takes the body: only a write shows that the client has left.
      hub.publish('t', 'two')
      return hub.stats().connections === 0
    })
  })
})

test('a pipelined request waits for the response before it, in-loop', async () => {
  const hub = new Hub()
  const handler = sse(() => hub.subscribe('t'))
  let first
  await serving((req, res) => (req.url === '/' ? handler(req, res) : void (first = res)), async (_url, server) => {
    const client = raw(server.address().port, `GET /first HTTP/1.1\r\nHost: x\r\n\r\n${GET}`)
    await eventually(() => refusals(hub).buffered === 1)
    hub.publish('t', 'one')
    first.end('first')
    await eventually(() => client.text.includes('data: one'))
    const [before, stream] = client.text.split('first', 2)
    assert.match(before, /Content-Length: 5/)
    assert.equal(stream.startsWith('HTTP/1.1 200 OK'), true)
    client.socket.destroy()
  })
})

test('what a client sends after its request is discarded', async () => {
  const hub = new Hub()
  await serving(sse(() => hub.subscribe('t')), async (_url, server) => {
    const client = raw(server.address().port, GET + GET)
    await eventually(() => hub.stats().detached === 1 && hub.stats().connections === 1)
    client.socket.write('x'.repeat(10_000))
    hub.publish('t', 'one')
    await eventually(() => client.text.includes('data: one'))
    assert.equal(hub.disconnect({ topic: 't' }), 1)
    await eventually(() => client.ended)
    assert.match(unchunk(client.text), /data: one\n\n$/)
    assert.equal(client.text.match(/HTTP\/1\.1/g).length, 1)
  })
})
