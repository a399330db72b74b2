// How an EventSource reaches its server: TLS, HTTP/2, Unix sockets, compression; and what other origins see.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { brotliCompressSync, createGzip, gzipSync } from 'node:zlib'

import { EventSource } from 'ssehub'

import { certificates, collect, scripted, whole } from './eventsource-helpers.js'
import { serving } from './helpers.js'

const pem = certificates()
const ONCE = { reconnect: false }

function greet(req, res) {
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  res.end(`data: hello over ${req.httpVersion}\n\n`)
}

const data = async (url, options) => (await collect(new EventSource(url, { ...ONCE, ...options }))).map(event => event.data)

test('TLS: the system\'s authorities, one of our own, none', async () => {
  await serving(https.createServer(pem.server, greet), async origin => {
    const url = origin.replace('http:', 'https:')
    await assert.rejects(data(url), { kind: 'tls', isRetryable: false })
    for (const ca of [pem.ca, Buffer.from(pem.ca), [pem.server.cert, pem.ca]]) {
      assert.deepEqual(await data(url, { ca }), ['hello over 1.1'])
    }
    assert.deepEqual(await data(url, { verify: false }), ['hello over 1.1'])
    assert.deepEqual(await data(url.replace('127.0.0.1', 'localhost'), { ca: pem.ca }), ['hello over 1.1'])
  })
})

test('TLS: a certificate of our own', async () => {
  const settings = { ...pem.server, ca: pem.ca, requestCert: true, rejectUnauthorized: true }
  const name = (req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.end(`data: ${req.socket.getPeerCertificate().subject.CN}\n\n`)
  }
  await serving(https.createServer(settings, name), async origin => {
    const url = origin.replace('http:', 'https:')
    await assert.rejects(data(url, { ca: pem.ca }))
    assert.deepEqual(await data(url, { ca: pem.ca, ...pem.client }), ['client'])
    assert.deepEqual(await data(url, { ca: pem.ca, cert: pem.client.cert + pem.client.key }), ['client'])
  })
})

test('redirects: never from https to http, and a certificate of our own is for its own origin', async () => {
  const curious = { ...pem.server, ca: pem.ca, requestCert: true, rejectUnauthorized: false }
  const name = (req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.end(`data: ${req.socket.getPeerCertificate().subject?.CN ?? 'nobody'}\n\n`)
  }
  const asked = []
  const options = { ca: pem.ca, ...pem.client, onRedirect: redirect => asked.push(redirect.to) > 0 }
  await serving(https.createServer(curious, name), async other => {
    const there = other.replace('http:', 'https:')
    await serving(name, async plain => {
      const away = (req, res) => {
        if (req.url === '/home') name(req, res)
        else res.writeHead(302, { location: { '/there': `${there}/`, '/plain': `${plain}/` }[req.url] ?? '/home' }).end()
      }
      await serving(https.createServer(curious, away), async origin => {
        const url = origin.replace('http:', 'https:')
        assert.deepEqual(await data(`${url}/there`, options), ['nobody'])
        assert.deepEqual(await data(`${url}/here`, options), ['client'])
        assert.deepEqual(asked.splice(0), [`${there}/`, `${url}/home`])
        await assert.rejects(data(`${url}/plain`, options), { kind: 'redirect', status: 302 })
        assert.deepEqual(asked, [])
      })
    })
  })
})

test('redirects: credentials of the URL are for its own origin', async () => {
  const seen = []
  const note = (req, res) => {
    seen.push(req.headers.authorization)
    greet(req, res)
  }
  await serving(note, async other => {
    const away = (req, res) => {
      seen.push(req.headers.authorization)
      if (req.url === '/home') greet(req, res)
      else res.writeHead(307, { location: req.url === '/there' ? `${other}/` : '/home' }).end()
    }
    await serving(away, async origin => {
      const url = origin.replace('//', '//me:secret@')
      await data(`${url}/there`)
      await data(`${url}/here`)
      const ours = `Basic ${btoa('me:secret')}`
      assert.deepEqual(seen, [ours, undefined, ours, ours])
    })
  })
})

test('HTTP/2: where the server prefers it, where it is asked for, and not where it is refused', async () => {
  const secure = http2.createSecureServer({ ...pem.server, allowHTTP1: true }, greet)
  await serving(compatible(secure), async origin => {
    const url = origin.replace('http:', 'https:')
    const { ca } = pem
    assert.deepEqual(await data(url, { ca }), ['hello over 2.0'])
    assert.deepEqual(await data(url, { ca, http2: true }), ['hello over 2.0'])
    assert.deepEqual(await data(url, { ca, http2: false }), ['hello over 1.1'])
  })
  await serving(compatible(http2.createServer(greet)), async url => {
    assert.deepEqual(await data(url, { http2: true }), ['hello over 2.0'])
  })
})

// As `serving` expects it: http2's servers cannot cut their connections.
function compatible(server) {
  const sockets = new Set()
  server.on('connection', socket => sockets.add(socket.on('close', () => sockets.delete(socket))))
  server.closeAllConnections = () => { for (const socket of sockets) socket.destroy() }
  return server
}

test('what a connection waited for in vain is said', async () => {
  const silent = net.createServer(socket => socket.on('error', () => {}).resume())
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const url = `https://127.0.0.1:${silent.address().port}/`
  await assert.rejects(data(url, { connectTimeout: 0.1 }), { kind: 'timeout', message: /waited for 127\.0\.0\.1 to agree on TLS/ })
  await new Promise(resolve => { silent.close(resolve) })
})

test('a Unix socket', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ssehub-'))
  const path = join(folder, 'server.sock')
  const server = http.createServer((req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.end(`data: ${req.headers.host}${req.url}\n\n`)
  })
  server.listen(path)
  await once(server, 'listening')
  assert.deepEqual(await data('http://some.name/where', { unixSocket: path }), ['some.name/where'])
  await assert.rejects(data('http://some.name/', { unixSocket: `${path}x` }), { kind: 'connect' })
  await new Promise(resolve => { server.close(resolve) })
  rmSync(folder, { recursive: true })
})

// A frame of one block that is not compressed: Node 20 cannot do better.
function zstd(text) {
  const bytes = Buffer.from(text)
  const block = Buffer.alloc(3)
  block.writeUIntLE((bytes.length << 3) | 1, 0, 3)
  return Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, bytes.length]), block, bytes])
}

test('compression: not asked for; asked for, event by event', async () => {
  const text = 'data: small\n\n'
  const encodings = []
  const app = (req, res) => {
    encodings.push(req.headers['accept-encoding'])
    const bodies = { '/gzip': ['gzip', gzipSync(text)], '/br': ['br', brotliCompressSync(text)], '/zstd': ['zstd', zstd(text)] }
    const [encoding, body] = bodies[req.url] ?? []
    res.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': encoding ?? 'gzip' })
    if (body !== undefined) {
      res.end(body)
      return
    }
    const gzip = createGzip()
    gzip.pipe(res)
    gzip.write(text)
    gzip.flush()
  }
  await serving(app, async origin => {
    assert.deepEqual(await data(`${origin}/gzip`), ['small'])
    assert.deepEqual(await data(`${origin}/br`, { compression: true }), ['small'])
    assert.deepEqual(encodings, ['identity', 'gzip, br, zstd'])
    assert.deepEqual(await data(`${origin}/zstd`, { compression: true }), ['small'])
    // One event of a stream that goes on: it does not wait for the next.
    for await (const event of new EventSource(`${origin}/open`, { compression: true })) {
      assert.equal(event.data, 'small')
      break
    }
  })
  const bomb = whole(200, gzipSync(`data: ${'x'.repeat(50_000_000)}`), 'Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\n')
  await scripted([bomb], async ({ url }) => {
    await assert.rejects(data(url, { maxEventSize: 100_000 }), { kind: 'event_too_large' })
  })
  await scripted([whole(200, 'no gzip', 'Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\n')], async ({ url }) => {
    await assert.rejects(data(url), { kind: 'decode' })
  })
})

test('a content-encoding that is none is passed over; one that cannot be undone is an error, but no refusal fails for it', async () => {
  const encoded = (status, encoding, more = '') =>
    whole(status, status === 200 ? 'data: plain\n\n' : 'busy', `Content-Type: text/event-stream\r\nContent-Encoding: ${encoding}\r\n${more}`)
  for (const encoding of ['none', 'utf-8']) {
    await scripted([encoded(200, encoding)], async ({ url }) => {
      assert.deepEqual(await data(url), ['plain'])
    })
  }
  await scripted([encoded(200, 'deflate')], async ({ url }) => {
    await assert.rejects(data(url), { kind: 'decode' })
  })
  await scripted([encoded(403, 'deflate')], async ({ url }) => {
    await assert.rejects(data(url), { kind: 'status', status: 403 })
  })
})

test('a body that is not HTTP at all', async () => {
  await scripted(['what?\r\n\r\n'], async ({ url }) => {
    await assert.rejects(data(url), { kind: 'protocol' })
  })
})
