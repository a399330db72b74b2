import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'

import express from 'express'
import { Hono } from 'hono'
import Koa from 'koa'
import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'
import { connect } from 'ssehub/testing'
import { toResponse } from 'ssehub/web'

const hub = new Hub()
const handler = sse(() => hub.subscribe('t'))
const koa = new Koa()
koa.use(ctx => {
  ctx.respond = false
  handler(ctx.req, ctx.res)
})
const apps = {
  handler,
  express: express().get('/events', handler),
  koa,
  hono: new Hono().get('/events', c => toResponse(c.req.raw, hub.subscribe('t'))),
  server: createServer(handler),
}

for (const [name, app] of Object.entries(apps)) {
  test(`connect: ${name}`, async () => {
    const stream = await connect(app, '/events', { headers: { 'X-Test': '1' } })
    assert.equal(stream.status, 200)
    assert.equal(stream.headers.get('content-type'), 'text/event-stream')
    await assert.rejects(stream.next({ timeout: 0.02 }), { code: 'ERR_SSEHUB_TIMEOUT' })
    hub.publish('t', 'x', { event: 'e' })
    const got = await stream.next({ timeout: 2 })
    assert.deepEqual({ event: got.event, data: got.data }, { event: 'e', data: 'x' })
    assert.equal(stream.lastEventId, hub.lastEventId)
    assert.equal(stream.retry, 3000)
    await stream[Symbol.asyncDispose]()
    for (let i = 0; i < 100 && hub.stats().connections > 0; i += 1) await new Promise(resolve => { setTimeout(resolve, 10) })
    assert.equal(hub.stats().connections, 0)
  })
}

test('connect: iteration, end, other answers, wrong arguments', async () => {
  const finite = await connect(sse(() => ['a', 'b']), '/', { method: 'POST', body: 'x' })
  const seen = []
  for await (const { data } of finite) seen.push(data)
  assert.deepEqual(seen, ['a', 'b'])
  assert.equal(await finite.next(), undefined)
  await finite.close()
  const other = await connect((_req, res) => {
    res.statusCode = 401
    res.end('no')
  })
  assert.equal(other.status, 401)
  assert.equal(await other.text(), 'no')
  await other.close()
  await assert.rejects(connect({}), TypeError)
  await assert.rejects(connect(handler, '/', { header: {} }), TypeError)
  await assert.rejects(connect(() => {}, '/', { timeout: 0.05 }), { code: 'ERR_SSEHUB_TIMEOUT' })
})
