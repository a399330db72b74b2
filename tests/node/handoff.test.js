// Sockets that go to the engine: what must be the same under every server, in both ways.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { Hub, event } from 'ssehub'

import { streaming } from './apps.js'
import { eventually, open, raw, serving, sleep, unchunk } from './helpers.js'

const data = list => list.map(e => e.data)
const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'

function listen(hub) {
  const told = []
  hub.on('open', info => told.push(['open', info])).on('close', info => told.push(['close', info]))
  return told
}

for (const [name, make] of Object.entries(streaming)) {
  for (const [handoff, mode] of [['detach', 'detached'], ['hold', 'held']]) {
    const title = `${name}, ${handoff}`

    test(`${title}: each byte, the end, what is told`, async () => {
      const hub = new Hub({ retry: 100 })
      const told = listen(hub)
      const server = await make(() => hub.subscribe('t'), { handoff, key: 'k' })
      await serving(server, async () => {
        const { port } = server.address()
        const client = raw(port, GET)
        await eventually(() => hub.stats()[mode] === 1, mode)
        const { epoch } = /^(?<epoch>\w+)-0$/.exec(hub.lastEventId).groups
        hub.publish('t', 'one', { event: 'greeting' })
        hub.publish('t', 'grüß\ngott')
        await eventually(() => client.text.includes('gott'))
        assert.equal(hub.stats().connections, 1)
        assert.equal(hub.disconnect({ key: 'k', event: { data: 'bye' } }), 1)
        await eventually(() => client.text.endsWith('0\r\n\r\n'))
        const [head] = client.text.split('\r\n\r\n', 1)
        assert.match(head, /^HTTP\/1\.1 200 OK\r\n/)
        assert.match(head, /\r\ntransfer-encoding: chunked/i)
        assert.equal(/\r\nconnection: close/i.test(head), handoff === 'detach')
        assert.equal(
          unchunk(client.text),
          `retry: 100\nid: ${epoch}-0\n\n` +
            `id: ${epoch}-1\nevent: greeting\ndata: one\n\n` +
            `id: ${epoch}-2\ndata: grüß\ndata: gott\n\n` +
            'data: bye\n\n',
        )
        if (handoff === 'detach') await eventually(() => client.ended, 'the end of the connection')
        await eventually(() => told.length === 2)
        const [[, opened], [, closed]] = told
        assert.deepEqual(opened, { key: 'k', topics: ['t'], lastEventId: `${epoch}-0`, mode })
        const { duration, bytes, ...rest } = closed
        assert.ok(duration > 0 && bytes > 50)
        assert.deepEqual(rest, { key: 'k', topics: ['t'], reason: 'kick', mode, events: 2, lastEventId: hub.lastEventId })
        assert.deepEqual(hub.stats().handoffsRefused, {})
        client.socket.destroy()
      })
    })

    test(`${title}: a client that leaves is seen once, and the server's side is gone`, async () => {
      const hub = new Hub()
      const told = listen(hub)
      const server = await make(() => hub.subscribe('t'), { handoff })
      await serving(server, async url => {
        const stream = await open(url)
        await eventually(() => hub.stats()[mode] === 1, mode)
        const connections = await new Promise(resolve => { server.getConnections((_error, count) => resolve(count)) })
        assert.equal(connections, handoff === 'detach' ? 0 : 1)
        stream.close()
        await eventually(() => told.length === 2)
        await sleep(20)
        assert.deepEqual(told.map(([what, info]) => [what, info.mode, info.reason]), [
          ['open', mode, undefined],
          ['close', mode, 'client'],
        ])
        const { connections: left, closed } = hub.stats()
        assert.deepEqual([left, closed.client, hub.subscribers('t')], [0, 1, 0])
      })
    })

    test(`${title}: resume`, async () => {
      const hub = new Hub()
      hub.publish('t', 0)
      const position = hub.lastEventId
      for (const n of [1, 2]) hub.publish('t', n)
      const server = await make(() => hub.subscribe('t'), { handoff })
      await serving(server, async url => {
        const resumed = await open(url, { headers: { 'Last-Event-ID': position } })
        assert.deepEqual(data(await resumed.take(2)), ['1', '2'])
        resumed.close()
        await eventually(() => hub.stats().connections === 0)
        hub.publish('t', 'missed')
        const again = await open(url, { headers: { 'Last-Event-ID': resumed.lastEventId } })
        hub.publish('t', 'live')
        assert.deepEqual(data(await again.take(2)), ['missed', 'live'])
        const unknown = await open(url, { headers: { 'Last-Event-ID': 'who knows' } })
        assert.equal((await unknown.take(1))[0].event, 'ssehub:gap')
        await eventually(() => hub.stats()[mode] === 2)
      })
    })

    test(`${title}: HTTP/1.0 ends with its connection`, async () => {
      const hub = new Hub({ retry: 100 })
      const server = await make(() => hub.subscribe('t'), { handoff })
      await serving(server, async () => {
        const client = raw(server.address().port, 'GET / HTTP/1.0\r\n\r\n')
        await eventually(() => hub.stats()[mode] === 1, mode)
        hub.publish('t', 'one')
        await eventually(() => client.text.includes('one'))
        assert.equal(hub.disconnect({ topic: 't' }), 1)
        await eventually(() => client.ended)
        assert.equal(/transfer-encoding/i.test(client.text), false)
        const body = client.text.slice(client.text.indexOf('\r\n\r\n') + 4)
        assert.match(body, /^retry: 100\nid: \w+-0\n\nid: \w+-1\ndata: one\n\n$/)
      })
    })
  }

  test(`${name}: snapshots come first, then the engine`, async () => {
    const hub = new Hub({ history: { count: 2 } })
    let made = 0
    const snapshot = async () => {
      made += 1
      hub.publish('t', `during ${made}`)
      await sleep(5)
      return event({ data: `state ${made}`, event: 'snapshot' })
    }
    const server = await make(() => hub.subscribe('t'), { snapshot })
    await serving(server, async url => {
      const first = await open(url)
      assert.deepEqual(data(await first.take(2)), ['state 1', 'during 1'])
      await eventually(() => hub.stats().detached === 1)
      const start = first.lastEventId
      first.close()
      hub.publish('t', 'missed')
      await eventually(() => hub.stats().connections === 0)
      const resumed = await open(url, { headers: { 'Last-Event-ID': start } })
      assert.deepEqual(data(await resumed.take(1)), ['missed'])
      assert.equal(made, 1)
      await eventually(() => hub.stats().detached === 1)
      resumed.close()
      await eventually(() => hub.stats().connections === 0)
      for (let n = 0; n < 5; n += 1) hub.publish('t', n)
      // The gap and its snapshot are this thread's to tell.
      const late = await open(url, { headers: { 'Last-Event-ID': start } })
      const [gap, ...rest] = await late.take(3)
      assert.equal(gap.event, 'ssehub:gap')
      assert.deepEqual(data(rest), ['state 2', 'during 2'])
      await eventually(() => hub.stats().detached === 1)
      hub.publish('t', 'live')
      assert.deepEqual(data(await late.take(1)), ['live'])
    })
  })
}

for (const [handoff, mode] of [['detach', 'detached'], ['hold', 'held']]) {
  test(`unix sockets, ${handoff}`, async () => {
    const hub = new Hub()
    const server = await streaming['node:http'](() => hub.subscribe('t'), { handoff })
    const path = join(tmpdir(), `ssehub-${process.pid}-${handoff}.sock`)
    server.listen(path)
    await once(server, 'listening')
    const client = raw(path, GET)
    await eventually(() => hub.stats()[mode] === 1, mode)
    hub.publish('t', 'one')
    await eventually(() => client.text.includes('data: one'))
    client.socket.destroy()
    await eventually(() => hub.stats().connections === 0)
    server.close()
  })
}

for (const handoff of ['detach', 'hold', 'off']) {
  test(`${handoff}: a stream that is ended as soon as it has begun gets what was published before that`, async () => {
    const hub = new Hub()
    hub.on('open', () => {
      hub.publish('t', 'last')
      assert.equal(hub.disconnect({ topic: 't', event: 'bye' }), 1)
      hub.publish('t', 'never')
    })
    await serving(await streaming['node:http'](() => hub.subscribe('t'), { handoff }), async url => {
      const stream = await open(url)
      await stream.end()
      assert.ok(stream.complete)
      assert.deepEqual(data(stream.events), ['last', 'bye'])
    })
  })
}
