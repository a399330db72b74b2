// EventSource in `for await`, and how much of a stream it holds: nothing is read that does not fit.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'

import { EventSource } from 'ssehub'

import { HEAD, collect, scripted, stream, told, whole } from './eventsource-helpers.js'
import { eventually, program, sleep, within } from './helpers.js'

const FAST = { delay: 0.001, minServerDelay: 0 }

test('events over reconnects, to the end that the server sets', async () => {
  const answers = [stream('id: 1\nevent: a\ndata: x\n\n'), stream('data: y\n\n'), whole(204)]
  await scripted(answers, async ({ url }) => {
    const source = new EventSource(url, { reconnect: FAST })
    assert.deepEqual(await collect(source), [
      { event: 'a', data: 'x', id: '1' },
      { event: 'message', data: 'y', id: '1' },
    ])
    assert.deepEqual([source.finished, source.lastEventId], [true, '1'])
    assert.deepEqual(await collect(source), [])
  })
})

test('leaving the loop closes: break, throw, return', async () => {
  await scripted([exchange => exchange.write(`${HEAD}data: 1\n\ndata: 2\n\n`)], async ({ url, exchanges }) => {
    const source = new EventSource(url)
    for await (const event of source) {
      assert.equal(event.data, '1')
      break
    }
    assert.equal(source.readyState, EventSource.CLOSED)
    await eventually(() => exchanges[0].socket.destroyed, 'the connection to be gone')
    const thrown = new Error('ours')
    const second = new EventSource(url)
    await assert.rejects(async () => { for await (const event of second) throw event && thrown }, thrown)
    assert.equal(second.readyState, EventSource.CLOSED)
    const loop = new EventSource(url)[Symbol.asyncIterator]()
    assert.equal(loop[Symbol.asyncIterator](), loop)
    assert.equal((await loop.next()).value.data, '1')
    assert.deepEqual(await loop.return('over'), { value: 'over', done: true })
    assert.deepEqual(await loop.next(), { value: undefined, done: true })
  })
})

test('close while a loop waits ends it; abort throws its reason there', async () => {
  await scripted([exchange => exchange.write(HEAD)], async ({ url }) => {
    const source = new EventSource(url)
    const loop = source[Symbol.asyncIterator]()
    const steps = [loop.next(), loop.next()]
    setTimeout(() => source.close(), 20)
    assert.deepEqual(await Promise.all(steps), Array(2).fill({ value: undefined, done: true }))
    const controller = new AbortController()
    const waiting = collect(new EventSource(url, { signal: controller.signal }))
    const reason = new Error('enough')
    setTimeout(() => controller.abort(reason), 20)
    await assert.rejects(waiting, reason)
    await assert.rejects(collect(new EventSource(url, { signal: AbortSignal.timeout(20) })), { name: 'TimeoutError' })
  })
})

test('dispose: closed at the end of a block', async () => {
  await scripted([exchange => exchange.write(HEAD)], async ({ url }) => {
    const sources = [new EventSource(url), new EventSource(url)]
    sources[0][Symbol.dispose]()
    await sources[1][Symbol.asyncDispose]()
    assert.deepEqual(sources.map(source => source.readyState), [2, 2])
  })
})

test('calls of next() that overlap get different events, in order', async () => {
  await scripted([exchange => exchange.write(`${HEAD}data: 1\n\ndata: 2\n\ndata: 3\n\n`)], async ({ url }) => {
    const source = new EventSource(url)
    const [one, other] = [source[Symbol.asyncIterator](), source[Symbol.asyncIterator]()]
    const steps = await Promise.all([one.next(), other.next(), one.next()])
    assert.deepEqual(steps.map(step => step.value.data), ['1', '2', '3'])
    source.close()
  })
})

test('listeners are told as the loop goes on', async () => {
  await scripted([stream('data: 1\n\ndata: 2\n\ndata: 3\n\n')], async ({ url }) => {
    await told(url, { reconnect: false }, async record => {
      const counts = []
      for await (const event of record.source) {
        counts.push([event.data, record.messages.length])
        await sleep(5)
      }
      assert.deepEqual(counts, [['1', 1], ['2', 2], ['3', 3]])
    })
  })
})

test('a hub\'s gap: an event of the loop, or a call', async () => {
  const gap = 'id: e-7\nevent: ssehub:gap\ndata: {"reason":"expired","last_event_id":"e-3"}\n\n'
  await scripted([stream(`data: 1\n\n${gap}data: 2\n\n`)], async ({ url }) => {
    const events = await collect(new EventSource(url, { reconnect: false }))
    assert.deepEqual(events.map(event => event.event), ['message', 'ssehub:gap', 'message'])
    assert.equal(events[1].id, 'e-7')
    const gaps = []
    const order = []
    const options = { reconnect: false, onGap: value => order.push(gaps.push(value) && 'gap') }
    await told(url, options, async record => {
      for await (const event of record.source) order.push(event.data)
      assert.deepEqual(gaps, [{ lastEventId: 'e-3', reason: 'expired' }])
      assert.deepEqual(order, ['1', 'gap', '2'])
      assert.equal(record.find('ssehub:gap').length, 1)
    }, ['ssehub:gap'])
    await assert.rejects(collect(new EventSource(url, { onGap: () => { throw new Error('no') } })), { kind: 'callback' })
  })
})

test('a slow loop: reading stops, nothing is lost, memory stays bounded', async () => {
  const event = n => `id: ${n}\ndata: ${'x'.repeat(1000)}\n\n`
  const total = 40_000
  let sent = 0
  const pour = exchange => {
    const { socket } = exchange
    socket.write(HEAD)
    const go = () => {
      while (sent < total) if (!socket.write(event(sent++))) return socket.once('drain', go)
      return socket.end()
    }
    go()
  }
  await scripted([pour], async ({ url }) => {
    const source = new EventSource(url, { reconnect: false })
    let read = 0
    let stalled
    for await (const { id } of source) {
      assert.equal(id, String(read))
      read += 1
      if (read === 100) {
        // Whatever the kernel's buffers hold: it must come to a stop far before the end.
        do {
          stalled = sent
          await sleep(300)
        } while (sent !== stalled)
        assert.ok(sent < total, `all of ${total} were read`)
      }
    }
    assert.equal(read, total)
  })
})

test('nobody reads: the same', async () => {
  let written = 0
  const pour = ({ socket }) => {
    socket.write(HEAD)
    const chunk = `data: ${'x'.repeat(1000)}\n\n`.repeat(100)
    const go = () => { while (socket.write(chunk)) written += chunk.length }
    socket.on('drain', go)
    go()
  }
  await scripted([pour], async ({ url }) => {
    const before = process.memoryUsage().rss
    const source = new EventSource(url)
    await eventually(() => written > 0, 'the stream')
    // More than all buffers hold, and the source would have read on.
    const most = 60_000_000
    let stalled
    do {
      stalled = written
      await sleep(300)
    } while (written !== stalled && written < most)
    assert.ok(written < most, `${written} bytes`)
    assert.equal(source.readyState, EventSource.OPEN)
    assert.ok(process.memoryUsage().rss - before < 60_000_000)
    source.close()
  })
})

test('an event larger than all buffers arrives', async () => {
  const text = 'y'.repeat(9_000_000)
  await scripted([stream(`data: ${text}\n\ndata: small\n\n`)], async ({ url }) => {
    const events = await collect(new EventSource(url, { reconnect: false }))
    assert.deepEqual(events.map(event => event.data.length), [9_000_000, 5])
  })
})

test('one byte at a time, ten megabytes of comments, and an end in the middle', async () => {
  const drip = async ({ socket }) => {
    socket.setNoDelay(true)
    for (const byte of Buffer.from(`${HEAD}id: 1\r\ndata: é\r\n\r\ndata: c`)) {
      socket.write(Buffer.from([byte]))
      await sleep(0)
    }
    socket.end()
  }
  await scripted([drip], async ({ url }) => {
    assert.deepEqual(await collect(new EventSource(url, { reconnect: false })), [{ event: 'message', data: 'é', id: '1' }])
  })
  await scripted([stream(`${`: ${'c'.repeat(1000)}\n`.repeat(10_000)}data: after\n\n`)], async ({ url }) => {
    const source = new EventSource(url, { reconnect: false, maxEventSize: 10_000 })
    assert.deepEqual((await within(10_000, collect(source), 'the event')).map(event => event.data), ['after'])
  })
})

test('a stream that never pauses leaves time for everything else', async () => {
  const server = spawn(process.execPath, [program('pour.js')])
  try {
    const [port] = await once(server.stdout, 'data')
    const url = `http://127.0.0.1:${Number(port)}/`
    // The most bytes that are told in one turn of the event loop.
    let turn = 0
    let most = 0
    let total = 0
    let turning = true
    const next = () => {
      turn = 0
      if (turning) setImmediate(next)
    }
    next()
    const count = event => {
      turn += event.data.length
      most = Math.max(most, turn)
      return (total += event.data.length) > 30_000_000
    }
    const source = new EventSource(url)
    await new Promise(resolve => { source.onmessage = event => { if (count(event)) resolve(source.close()) } })
    total = 0
    for await (const event of new EventSource(url)) if (count(event)) break
    turning = false
    assert.ok(most < 1_500_000, String(most))
  } finally {
    server.kill('SIGKILL')
  }
})
