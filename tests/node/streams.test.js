// What a hub does with streams: limits, ends, snapshots, slow clients.
import assert from 'node:assert/strict'
import { connect as dial } from 'node:net'
import { test } from 'node:test'

import { Hub, event } from 'ssehub'
import { sse } from 'ssehub/express'

import { eventually, open, serving, sleep, warnings } from './helpers.js'

const data = list => list.map(e => e.data)
const byQuery = hub =>
  sse(() => hub.subscribe('t'), { key: req => new URL(req.url, 'http://x').searchParams.get('key') ?? undefined })

test('disconnect: by key, by topic, by both, with a farewell', async () => {
  const hub = new Hub()
  await serving(byQuery(hub), async url => {
    const a = await open(`${url}/?key=a`)
    const b = await open(`${url}/?key=b`)
    const c = await open(`${url}/`)
    await eventually(() => hub.stats().connections === 3)
    assert.equal(hub.disconnect({ key: 'a', topic: 'other' }), 0)
    assert.equal(hub.disconnect({ key: 'a', event: event({ data: 'bye', event: 'logout' }) }), 1)
    await a.end()
    assert.ok(a.complete)
    assert.deepEqual(a.events, [{ event: 'logout', data: 'bye', id: a.lastEventId }])
    assert.equal(hub.disconnect({ topic: 't' }), 2)
    await b.end()
    await c.end()
    // The client may see the end before it is counted.
    await eventually(() => hub.stats().connections === 0)
    assert.equal(hub.stats().closed.kick, 3)
  })
})

for (const handoff of ['off', 'detach', 'hold']) {
  test(`disconnect comes after what was published before it: ${handoff}`, async () => {
    const hub = new Hub()
    await serving(sse(() => hub.subscribe('t'), { handoff }), async url => {
      const stream = await open(url)
      hub.publish('t', 'first')
      await stream.take(1)
      // Within one turn of the loop.
      hub.publish('t', 'before')
      assert.equal(hub.disconnect({ topic: 't' }), 1)
      hub.publish('t', 'after')
      await stream.end()
      assert.ok(stream.complete)
      assert.deepEqual(data(stream.events), ['before'])
    })
  })
}

test('limits: a key has its oldest stream closed, the rest are refused', async () => {
  const hub = new Hub({ limits: { connections: 3, connectionsPerKey: 1 }, retry: 100 })
  const strict = sse(() => hub.subscribe('t'), { refuse: 'status' })
  const handler = byQuery(hub)
  await serving((req, res) => (req.url === '/strict' ? strict : handler)(req, res), async url => {
    const first = await open(`${url}/?key=a`)
    const second = await open(`${url}/?key=a`)
    await first.end()
    await eventually(() => hub.stats().connections === 1)
    await open(`${url}/`)
    await open(`${url}/`)
    await eventually(() => hub.stats().connections === 3)
    const refused = await open(`${url}/`, { headers: { Accept: 'text/event-stream' } })
    await refused.end()
    assert.equal(refused.status, 200)
    assert.ok(refused.complete)
    assert.match(refused.text, /^retry: \d+\n\n$/)
    const other = await open(`${url}/`)
    assert.equal(other.status, 429)
    assert.ok(Number(other.headers['retry-after']) >= 1)
    assert.equal((await open(`${url}/strict`, { headers: { Accept: 'text/event-stream' } })).status, 429)
    assert.equal(hub.stats().refused, 3)
    assert.equal(second.ended, false)
  })
})

test('drain: what was published goes out, then each stream ends with a time to come back', async () => {
  const hub = new Hub({ retry: 100 })
  await serving(byQuery(hub), async url => {
    const streams = await Promise.all(Array.from({ length: 20 }, () => open(url)))
    await eventually(() => hub.stats().connections === 20)
    hub.publish('t', 'last')
    const done = hub.drain({ timeout: 5, spread: 0.2, event: { data: 'bye' } })
    assert.equal(hub.ready, false)
    const refused = await open(url, { headers: { Accept: 'text/event-stream' } })
    await refused.end()
    assert.match(refused.text, /^retry: \d+\n\n$/)
    await done
    for (const stream of streams) {
      await stream.end()
      assert.ok(stream.complete)
      assert.deepEqual(data(stream.events), ['last', 'bye'])
      assert.notEqual(stream.retry, null)
    }
    assert.equal(hub.stats().closed.drain, 20)
    hub.close()
    // A handler that subscribes to a closed hub refuses, too.
    const closed = await open(url, { headers: { Accept: 'text/event-stream' } })
    assert.equal(closed.status, 200)
  })
})

test('drain cuts a client that takes nothing', async () => {
  const hub = new Hub({ slow: 'skip' })
  await serving(byQuery(hub), async (_url, server) => {
    const stalled = await stall(server, hub)
    await hub.drain({ timeout: 0.3, spread: 0 })
    assert.equal(hub.stats().connections, 0)
    stalled.destroy()
  })
})

/** A client that sends a request and reads nothing; returns when its stream is stuck. */
async function stall(server, hub) {
  const before = hub.stats().opened
  const socket = dial({ port: server.address().port, host: '127.0.0.1' })
  socket.on('error', () => {})
  socket.pause()
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await eventually(() => hub.stats().opened > before)
  const text = 'x'.repeat(60_000)
  let last = -1
  for (let i = 0; i < 400 && hub.stats().deliveredBytes !== last; i += 1) {
    last = hub.stats().deliveredBytes
    hub.publish('t', text)
    await sleep(5)
  }
  return socket
}

test('a stalled client: bounded memory, the policy, others undisturbed', async () => {
  const hub = new Hub()
  const reasons = []
  hub.on('close', info => reasons.push(info.reason))
  await serving(byQuery(hub), async (url, server) => {
    const sockets = []
    server.on('connection', connection => sockets.push(connection))
    const socket = await stall(server, hub)
    const other = await open(url)
    const text = 'x'.repeat(10_000)
    for (let i = 0; i < 20; i += 1) {
      for (let j = 0; j < 100; j += 1) hub.publish('t', text)
      await other.take(100)
      // One delivery and what was there before it, at the most.
      assert.ok(sockets[0].writableLength < 300_000, `${sockets[0].writableLength} bytes wait`)
    }
    await eventually(() => reasons.includes('slow'), 'the policy')
    assert.equal(hub.stats().closed.slow, 1)
    assert.equal(hub.stats().connections, 1)
    socket.destroy()
  })
})

test('a client that leaves while it is stalled frees its stream at once', async () => {
  const hub = new Hub({ slow: 'skip' })
  await serving(byQuery(hub), async (_url, server) => {
    const socket = await stall(server, hub)
    assert.equal(hub.stats().connections, 1)
    // A reset: whoever merely ends its side may still read.
    socket.resetAndDestroy()
    await eventually(() => hub.stats().connections === 0)
    assert.equal(hub.stats().closed.client, 1)
    assert.equal(hub.subscribers('t'), 0)
  })
})

test('a stalled client holds up an iterable, and leaving frees it', async () => {
  let made = 0
  let finished = false
  const handler = sse(async function* () {
    try {
      for (;;) {
        made += 1
        yield 'x'.repeat(10_000)
      }
    } finally {
      finished = true
    }
  })
  await serving(handler, async (_url, server) => {
    const socket = dial({ port: server.address().port, host: '127.0.0.1' })
    socket.on('error', () => {})
    socket.pause()
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    let last = -1
    await eventually(() => {
      const same = made === last && made > 0
      last = made
      return same
    }, 'backpressure')
    assert.ok(made < 5000, `${made} items`)
    socket.resetAndDestroy()
    await eventually(() => finished, 'return()', 1000)
  })
})

test('snapshots: on a first connect, after a gap, not on a clean resume', async () => {
  const hub = new Hub({ history: { count: 2 } })
  let made = 0
  const snapshot = async () => {
    made += 1
    hub.publish('t', `during ${made}`)
    await sleep(5)
    return [event({ data: `a${made}`, event: 'snapshot' }), event({ data: `b${made}`, event: 'snapshot' })]
  }
  await serving(sse(() => hub.subscribe('t'), { snapshot }), async url => {
    hub.publish('t', 0)
    const start = hub.lastEventId
    const first = await open(url)
    const events = await first.take(3)
    assert.deepEqual(data(events), ['a1', 'b1', 'during 1'])
    assert.deepEqual(events.map(e => e.id), ['', start, hub.lastEventId])
    first.close()
    hub.publish('t', 'missed')
    const resumed = await open(url, { headers: { 'Last-Event-ID': events[2].id } })
    assert.deepEqual(data(await resumed.take(1)), ['missed'])
    assert.equal(made, 1)
    // What an attached reader may still want is kept beyond the history.
    resumed.close()
    await eventually(() => hub.stats().connections === 0)
    for (let n = 0; n < 5; n += 1) hub.publish('t', n)
    const after = await open(url, { headers: { 'Last-Event-ID': start } })
    const [gap, ...rest] = await after.take(4)
    // Whoever is cut before the snapshot has come is told again.
    assert.deepEqual([gap.event, gap.id], ['ssehub:gap', ''])
    assert.deepEqual(data(rest), ['a2', 'b2', 'during 2'])
    assert.equal(made, 2)
  })
})

test('snapshots: data, nothing, failures', async () => {
  const hub = new Hub()
  const log = warnings()
  const values = [{ a: 1 }, [1, 2], undefined, 'text', event({ data: 'e' })]
  let next = 0
  const handler = sse(() => hub.subscribe('t'), {
    snapshot: req => {
      assert.equal(req.method, 'GET')
      if (next === values.length) throw new Error('no snapshot')
      return values[next++]
    },
  })
  await serving(handler, async url => {
    for (const expected of ['{"a":1}', '[1,2]', undefined, 'text', 'e']) {
      const stream = await open(url)
      await stream.until(() => stream.lastEventId !== '')
      assert.equal(stream.events[0]?.data, expected)
      assert.equal(stream.lastEventId, hub.lastEventId)
      stream.close()
    }
    const failed = await open(url)
    await failed.end()
    assert.equal(failed.complete, false)
    await eventually(() => log.seen.length > 0 && hub.stats().connections === 0)
    assert.equal(hub.stats().closed.error, 1)
  })
  log.stop()
})

test('listeners that fail are reported, and stop nothing', async () => {
  const hub = new Hub()
  const log = warnings()
  hub.on('open', () => {
    throw new Error('first')
  })
  hub.on('close', async () => {
    throw new Error('second')
  })
  await serving(byQuery(hub), async url => {
    const stream = await open(url)
    hub.publish('t', 1)
    await stream.take(1)
    stream.close()
    await eventually(() => hub.stats().connections === 0)
    await eventually(() => log.seen.length === 2)
  })
  log.stop()
})

test('connect and abort: nothing is left', async () => {
  const hub = new Hub()
  let opened = 0
  let closed = 0
  hub.on('open', () => (opened += 1)).on('close', () => (closed += 1))
  await serving(byQuery(hub), async (url, server) => {
    for (let i = 0; i < 300; i += 1) {
      if (i % 3 === 0) {
        // Gone before the answer.
        const socket = dial({ port: server.address().port, host: '127.0.0.1' })
        socket.on('error', () => {})
        socket.end('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        socket.on('connect', () => setImmediate(() => socket.destroy()))
      } else {
        const stream = await open(url)
        if (i % 3 === 1) await stream.until(() => stream.lastEventId !== '')
        stream.close()
      }
    }
    await eventually(() => hub.stats().connections === 0 && opened === closed)
    assert.equal(hub.stats().opened, opened)
    assert.equal(hub.subscribers('t'), 0)
  })
})
