// ssehub/fastify: what is Fastify's own.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { PassThrough, Transform } from 'node:stream'
import { test } from 'node:test'

import compress from '@fastify/compress'
import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import Fastify from 'fastify'
import { Hub, event } from 'ssehub'
import ssehub from 'ssehub/fastify'
import { connect } from 'ssehub/testing'

import { eventually, open, sleep } from './helpers.js'

const data = list => list.map(e => e.data)

/** Serves an app that `build` has made for as long as `use` takes. */
async function withApp(build, use, options = {}) {
  const app = Fastify(options)
  await app.register(ssehub)
  await build(app)
  try {
    await use(await app.listen({ port: 0, host: '127.0.0.1' }), app)
  } finally {
    app.server.closeAllConnections()
    await app.close()
  }
}

for (const handoff of ['detach', 'hold', 'off']) {
  test(`${handoff}: hooks run, and what they set goes out`, async () => {
    const hub = new Hub()
    const order = []
    const lines = []
    await withApp(
      async app => {
        await app.register(cookie)
        await app.register(cors, { origin: 'https://example.org' })
        app.addHook('onRequest', async (_request, reply) => void reply.header('x-request', 'yes'))
        app.addHook('preHandler', async (_request, reply) => void reply.header('x-handler', 'yes'))
        app.addHook('onSend', async (_request, reply, payload) => {
          order.push('onSend')
          reply.header('x-send', 'yes')
          return payload
        })
        app.addHook('onResponse', async (_request, reply) => void order.push(`onResponse ${reply.statusCode}`))
        app.get('/', async (_request, reply) => {
          reply.setCookie('a', '1')
          return reply.code(201).sse(hub.subscribe('t'), { handoff, headers: { 'X-Own': 'yes', 'Set-Cookie': 'b=2' } })
        })
      },
      async url => {
        const stream = await open(url)
        assert.equal(stream.status, 201)
        const { headers } = stream
        for (const name of ['x-request', 'x-handler', 'x-send', 'x-own']) assert.equal(headers[name], 'yes', name)
        assert.equal(headers['content-type'], 'text/event-stream')
        assert.equal(headers['cache-control'], 'no-cache, no-transform')
        assert.equal(headers['access-control-allow-origin'], 'https://example.org')
        assert.deepEqual(headers['set-cookie'].map(text => text.slice(0, 3)).sort(), ['a=1', 'b=2'])
        await stream.until(() => stream.lastEventId !== '')
        await eventually(() => order.length === (handoff === 'detach' ? 2 : 1))
        hub.publish('t', 'one')
        assert.deepEqual(data(await stream.take(1)), ['one'])
        hub.disconnect({ topic: 't' })
        await stream.end()
        assert.ok(stream.complete)
        await eventually(() => order.length === 2)
        assert.deepEqual(order, ['onSend', 'onResponse 201'])
        const requests = lines.map(line => JSON.parse(line)).filter(({ reqId }) => reqId !== undefined)
        await eventually(() => lines.some(line => line.includes('request completed')))
        assert.equal(requests.some(({ level }) => level > 30), false)
        assert.equal(lines.some(line => line.includes('premature')), false)
      },
      { logger: { stream: { write: line => lines.push(line) } } },
    )
  })
}

test('iterables, functions of a context, and the end of reconnecting', async () => {
  let aborted = false
  await withApp(
    async app => {
      app.post('/chat', (request, reply) => reply.sse(async function* () {
        yield request.body.text
        yield event({ data: 'end', event: 'done' })
      }()))
      app.get('/list', (_request, reply) => reply.sse(['a', 'b']))
      app.get('/wait', (_request, reply) => reply.sse(({ signal }) => {
        signal.addEventListener('abort', () => (aborted = true))
        return (async function* () {
          yield 'x'
          await new Promise(() => {})
        })()
      }))
    },
    async url => {
      const headers = { 'content-type': 'application/json' }
      const chat = await open(`${url}/chat`, { method: 'POST', headers, body: '{"text":"hello"}' })
      await chat.end()
      assert.ok(chat.complete)
      assert.deepEqual(data(chat.events), ['hello', 'end'])
      const list = await open(`${url}/list`)
      await list.end()
      assert.equal(list.lastEventId, 'ssehub:end')
      const again = await open(`${url}/list`, { headers: { 'Last-Event-ID': 'ssehub:end' } })
      assert.equal(again.status, 204)
      const waiting = await open(`${url}/wait`)
      await waiting.take(1)
      waiting.close()
      await eventually(() => aborted)
    },
  )
})

test('errors before the head go to the error handler, later ones cut the body', async () => {
  const hub = new Hub()
  const seen = []
  const warned = []
  const onWarning = warning => warned.push(warning)
  process.on('warning', onWarning)
  await withApp(
    async app => {
      app.setErrorHandler((error, _request, reply) => {
        seen.push(error.message)
        return reply.code(500).send({ error: error.message })
      })
      // eslint-disable-next-line require-yield
      app.get('/first', (_request, reply) => reply.sse(async function* () {
        throw new Error('first')
      }()))
      app.get('/wrong', async (_request, reply) => reply.sse('text'))
      app.get('/options', (_request, reply) => reply.sse([], { nope: 1 }))
      app.get('/late', (_request, reply) => reply.sse(async function* () {
        yield 'one'
        await sleep(5)
        throw new Error('secret')
      }()))
      app.get('/require', { onSend: async (_request, _reply, payload) => payload.pipe(new PassThrough()) }, (_request, reply) =>
        reply.sse(hub.subscribe('t'), { handoff: 'require' }))
    },
    async url => {
      for (const path of ['first', 'wrong', 'options']) {
        const stream = await open(`${url}/${path}`)
        await stream.end()
        assert.equal(stream.status, 500, path)
        assert.match(stream.headers['content-type'], /json/)
        assert.equal(stream.headers['x-accel-buffering'], undefined)
        assert.deepEqual(JSON.parse(stream.text), { error: seen.at(-1) })
      }
      assert.equal(seen.length, 3)
      const late = await open(`${url}/late`)
      await late.end()
      assert.equal(late.complete, false)
      assert.deepEqual(late.events.map(e => e.event), ['message', 'ssehub:error'])
      assert.equal(late.text.includes('secret'), false)
      await assert.rejects(open(`${url}/require`), { code: 'ECONNRESET' })
      assert.deepEqual([hub.stats().closed.error, hub.stats().handoffsRefused], [1, { body: 1 }])
    },
  )
  process.off('warning', onWarning)
  for (const text of ['secret', 'HandoffError']) assert.ok(warned.some(warning => String(warning).includes(text)))
})

test('a hook that puts something in between: in-loop, with its backpressure', async () => {
  const hub = new Hub()
  const upper = () => new Transform({ transform: (chunk, _encoding, done) => done(null, String(chunk).replaceAll('data', 'data')) })
  await withApp(
    async app => {
      app.get('/', { onSend: async (_request, _reply, payload) => payload.pipe(upper()) }, (_request, reply) =>
        reply.sse(hub.subscribe('t')))
    },
    async url => {
      const stream = await open(url)
      await stream.until(() => stream.lastEventId !== '')
      const text = 'x'.repeat(10_000)
      for (let n = 0; n < 50; n += 1) hub.publish('t', text)
      await stream.take(50)
      assert.deepEqual([hub.stats().connections, hub.stats().handoffsRefused], [1, { body: 1 }])
      hub.disconnect({ topic: 't' })
      await stream.end()
      assert.ok(stream.complete)
      const other = await open(url)
      await other.until(() => other.lastEventId !== '')
      other.close()
      await eventually(() => hub.stats().connections === 0)
    },
  )
})

test('@fastify/compress leaves streams alone', async () => {
  const hub = new Hub()
  await withApp(
    async app => {
      await app.register(compress, { global: true })
      app.get('/', (_request, reply) => reply.sse(hub.subscribe('t')))
      app.get('/plain', (_request, reply) => reply.send({ text: 'x'.repeat(5000) }))
    },
    async url => {
      const headers = { 'accept-encoding': 'gzip' }
      const stream = await open(url, { headers })
      assert.equal(stream.headers['content-encoding'], undefined)
      await eventually(() => hub.stats().detached === 1)
      hub.publish('t', 'one')
      assert.deepEqual(data(await stream.take(1)), ['one'])
      assert.equal((await open(`${url}/plain`, { headers })).headers['content-encoding'], 'gzip')
      stream.close()
      await eventually(() => hub.stats().connections === 0)
    },
  )
})

test('HEAD, limits, a key from the request', async () => {
  const hub = new Hub({ limits: { connections: 1 }, retry: 100 })
  const keys = []
  hub.on('open', ({ key }) => keys.push(key))
  await withApp(
    async app => {
      app.get('/', (_request, reply) => reply.sse(hub.subscribe('t'), { key: request => request.query.key }))
    },
    async url => {
      const head = await open(url, { method: 'HEAD' })
      await head.end()
      assert.deepEqual([head.status, head.text, head.headers['content-type']], [200, '', 'text/event-stream'])
      assert.equal(head.headers['content-length'], undefined)
      assert.equal(hub.stats().opened, 0)
      const stream = await open(`${url}/?key=k`)
      await eventually(() => keys.length === 1)
      assert.deepEqual(keys, ['k'])
      const refused = await open(url, { headers: { Accept: 'text/event-stream' } })
      await refused.end()
      assert.equal(refused.status, 200)
      assert.match(refused.text, /^retry: \d+\n\n$/)
      assert.equal((await open(url)).status, 429)
      stream.close()
    },
  )
})

test('app.close() ends its streams', async () => {
  const hub = new Hub()
  const app = Fastify()
  await app.register(ssehub)
  app.get('/:handoff', (request, reply) => reply.sse(hub.subscribe('t'), { handoff: request.params.handoff }))
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const streams = await Promise.all(['detach', 'hold', 'off'].map(handoff => open(`${url}/${handoff}`)))
  for (const stream of streams) await stream.until(() => stream.lastEventId !== '')
  await app.close()
  for (const stream of streams) {
    await stream.end()
    assert.ok(stream.complete)
    assert.match(stream.text, /retry: \d+\n\n$/)
  }
  await eventually(() => hub.stats().closed.drain === 3)
})

test('ssehub/testing, and require()', async () => {
  const hub = new Hub()
  const app = Fastify()
  app.register(createRequire(import.meta.url)('ssehub/fastify'))
  app.get('/', (_request, reply) => reply.sse(hub.subscribe('t')))
  const stream = await connect(app)
  hub.publish('t', 'hello')
  assert.equal((await stream.next()).data, 'hello')
  await stream.close()
})
