// Sockets that go to the engine: what middleware may do about it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createGunzip } from 'node:zlib'

import compression from 'compression'
import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'

import { expressApp } from './apps.js'
import { eventually, open, raw, serving, unchunk } from './helpers.js'

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
const refusals = hub => hub.stats().handoffsRefused

test('compression that heeds no-transform is no obstacle, one that does not is', async () => {
  const hub = new Hub()
  const plain = sse(() => hub.subscribe('t'))
  const packed = sse(() => hub.subscribe('t'), { headers: { 'Cache-Control': 'no-cache' } })
  const handler = (req, res, next) => (req.query.packed ? packed : plain)(req, res, next)
  const server = expressApp(handler, compression({ filter: () => true }))
  await serving(server, async url => {
    const headers = { 'Accept-Encoding': 'gzip' }
    const one = await open(url, { headers })
    await eventually(() => hub.stats().detached === 1)
    const two = await open(`${url}/?packed=1`, { headers })
    assert.equal(two.headers['content-encoding'], 'gzip')
    await eventually(() => refusals(hub).body === 1)
    let text = ''
    two.res.pipe(createGunzip()).on('data', chunk => (text += chunk)).on('error', () => {})
    await eventually(() => hub.stats().connections === 2)
    for (const word of ['first', 'second']) {
      hub.publish('t', word)
      await eventually(() => text.endsWith(`data: ${word}\n\n`), word)
      assert.equal((await one.take(1))[0].data, word)
    }
    two.close()
    await eventually(() => hub.stats().connections === 1)
  })
})

test('middleware that rewrites, holds back or passes on what is written', async () => {
  const hub = new Hub()
  const wrap = change => (_req, res, next) => {
    const { write } = res
    res.write = chunk => change(chunk, piece => write.call(res, piece))
    next()
  }
  const layers = {
    rewriting: wrap((chunk, write) => write(String(chunk).replaceAll(': ', ':'))),
    adding: wrap((chunk, write) => write(`${chunk}: more\n`)),
    late: wrap((chunk, write) => setTimeout(() => write(chunk), 20)),
    passing: wrap((chunk, write) => write(chunk)),
  }
  const expected = {
    rewriting: ['in-loop', 'one'],
    adding: ['in-loop', 'one'],
    late: ['detached', 'one'],
    passing: ['detached', 'one'],
  }
  const seen = {}
  hub.on('open', info => (seen[info.topics[0]] = info.mode))
  for (const [name, layer] of Object.entries(layers)) {
    await serving(expressApp(sse(() => hub.subscribe(name)), layer), async url => {
      const stream = await open(url)
      await eventually(() => seen[name] !== undefined, name)
      hub.publish(name, 'one')
      const [{ data }] = await stream.take(1)
      assert.deepEqual([seen[name], data], expected[name], name)
      stream.close()
      await eventually(() => hub.stats().connections === 0)
    })
  }
  assert.deepEqual(refusals(hub), { body: 2 })
})

test('middleware that ends responses in its own time', async () => {
  const hub = new Hub()
  const seen = []
  const layer = (_req, res, next) => {
    const { end } = res
    // As those do that save a session first. What they add goes nowhere.
    res.end = () => setTimeout(() => end.call(res, 'more'), 100)
    for (const name of ['finish', 'close']) res.on(name, () => seen.push(name))
    next()
  }
  await serving(expressApp(sse(() => hub.subscribe('t')), layer), async (_url, server) => {
    const client = raw(server.address().port, GET)
    await eventually(() => hub.stats().detached === 1)
    hub.publish('t', 'one')
    await eventually(() => seen.length === 2)
    assert.deepEqual(seen, ['finish', 'close'])
    hub.publish('t', 'two')
    await eventually(() => client.text.includes('two'))
    hub.disconnect({ topic: 't' })
    await eventually(() => client.ended)
    assert.match(unchunk(client.text), /^retry: \d+\nid: \S+\n\nid: \S+\ndata: one\n\nid: \S+\ndata: two\n\n$/)
  })
})
