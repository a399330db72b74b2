// EventSource and our own servers: resume, gaps, drain; many streams, and what is left when they are closed.
import assert from 'node:assert/strict'
import { execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'

import express from 'express'
import { EventSource, Hub } from 'ssehub'
import { sse } from 'ssehub/express'

import { collect, told } from './eventsource-helpers.js'
import { eventually, program, serving, within } from './helpers.js'

function app(hub, options = {}) {
  const made = express()
  made.get('/events', sse(() => hub.subscribe('t'), options))
  made.post('/answer', express.json(), sse(async function* (req) {
    for (const word of req.body.words) yield word
    yield '[DONE]'
  }))
  return made
}

for (const handoff of ['detach', 'off']) {
  test(`resume: each event once, over cuts of all kinds (${handoff})`, async () => {
    const hub = new Hub({ retry: 1 })
    await serving(app(hub, { handoff }), async origin => {
      await told(`${origin}/events`, { reconnect: { minServerDelay: 0.01 } }, async record => {
        // Before that it has no position to come back with.
        await eventually(() => record.source.lastEventId !== '', 'the opening block')
        for (let n = 1; n <= 30; n += 1) {
          hub.publish('t', n)
          if (n % 10 === 5) record.source.restart()
          if (n % 10 === 0) {
            await record.until(({ messages }) => messages.length === n, `${n} events`)
            // The server ends it; the client comes back.
            const connects = record.find('open').length
            hub.disconnect({ topic: 't' })
            hub.publish('t', (n += 1))
            await record.until(({ find }) => find('open').length > connects, 'another connection')
          }
        }
        await record.until(({ messages }) => messages.length === 31, 'all events')
        assert.deepEqual(record.messages.map(Number), Array.from(record.messages, (_text, i) => i + 1))
        assert.equal(record.source.lastEventId, hub.lastEventId)
      })
    })
    hub.close()
  })
}

test('the position of the opening block counts: what is published while nobody is connected comes later', async () => {
  const hub = new Hub({ retry: 1 })
  await serving(app(hub), async origin => {
    const source = new EventSource(`${origin}/events`)
    await eventually(() => source.lastEventId !== '', 'the opening block')
    const { lastEventId } = source
    source.close()
    await eventually(() => hub.subscribers('t') === 0, 'the end')
    hub.publish('t', 'meanwhile')
    for await (const event of new EventSource(`${origin}/events`, { lastEventId })) {
      assert.equal(event.data, 'meanwhile')
      break
    }
  })
  hub.close()
})

test('a gap is told', async () => {
  const hub = new Hub({ history: { count: 2 } })
  await serving(app(hub), async origin => {
    hub.publish('t', 0)
    const { lastEventId } = hub
    for (let n = 1; n <= 5; n += 1) hub.publish('t', n)
    const gaps = []
    const source = new EventSource(`${origin}/events`, { lastEventId, onGap: gap => gaps.push(gap) })
    const seen = []
    for await (const { data } of source) if (seen.push(data) === 2) break
    assert.deepEqual(seen, ['4', '5'])
    assert.deepEqual(gaps.map(gap => gap.reason), ['expired'])
  })
  hub.close()
})

test('drain: the client is told in order, and comes back to nobody', async () => {
  const hub = new Hub({ retry: 50 })
  await serving(app(hub), async origin => {
    await told(`${origin}/events`, {}, async record => {
      await eventually(() => hub.subscribers('t') === 1, 'a subscriber')
      hub.publish('t', 'last')
      await hub.drain({ timeout: 2, spread: 0 })
      await record.until(({ errors }) => errors.length > 0)
      assert.deepEqual(record.messages, ['last'])
      assert.equal(record.errors[0].error.kind, 'ended')
      assert.equal(record.source.readyState, EventSource.CONNECTING)
    })
  })
  hub.close()
})

test('an answer, word by word, to its end mark', async () => {
  const hub = new Hub()
  await serving(app(hub), async origin => {
    const words = ['one', 'zwei', '三']
    const source = new EventSource(`${origin}/answer`, { json: { words }, stopOn: '[DONE]' })
    assert.deepEqual((await collect(source)).map(event => event.data), words)
    assert.equal(source.finished, true)
  })
  hub.close()
})

const descriptors = () => readdirSync('/proc/self/fd').length
const threads = () => readdirSync('/proc/self/task').length

test('1,000 streams: all get all, and closed they leave nothing', { skip: process.platform !== 'linux' }, async () => {
  const hub = new Hub()
  await serving(app(hub), async origin => {
    // What stays with the first: the server's engine.
    await collect(new EventSource(`${origin}/answer`, { json: { words: [] } }))
    const open = async count => {
      const sources = Array.from({ length: count }, () => new EventSource(`${origin}/events`))
      let got = 0
      for (const source of sources) source.onmessage = () => (got += 1)
      await eventually(() => hub.subscribers('t') === count, `${count} streams`, 20_000)
      for (let n = 0; n < 5; n += 1) hub.publish('t', n)
      await eventually(() => got === count * 5, 'all events', 20_000)
      for (const source of sources) source.close()
      await eventually(() => hub.subscribers('t') === 0, 'the end of all streams', 20_000)
    }
    await open(5)
    await eventually(() => !clientThread(), 'the end of the thread')
    const before = [descriptors(), threads()]
    await open(1000)
    await eventually(() => !clientThread(), 'the end of the thread')
    await eventually(() => descriptors() <= before[0] && threads() <= before[1], `as before: ${before}`)
  })
  hub.close()
})

test('1,000 streams, again and again: memory is used again', { skip: process.platform !== 'linux' }, async () => {
  const greet = (req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write('data: hello\n\n')
  }
  await serving(greet, async url => {
    // One arena: what lies free in another would only blur the picture.
    const env = { ...process.env, MALLOC_ARENA_MAX: '1' }
    const child = fork(program('thousand_streams.js'), [url], { execArgv: ['--expose-gc'], env })
    const [{ rounds }] = await within(50_000, once(child, 'message'), 'the rounds')
    // The first rounds settle who lies where in memory, which is half of this; 4 KiB per stream and round would be 36 MiB.
    assert.ok(rounds.at(-1) - rounds[0] < 24 * 2 ** 20, `bytes after each round: ${rounds}`)
  })
})

function clientThread() {
  return readdirSync('/proc/self/task').some(id => {
    try {
      return readFileSync(`/proc/self/task/${id}/comm`, 'utf8').startsWith('ssehub-client')
    } catch {
      return false // It has just ended.
    }
  })
}

test('an open source keeps the process alive, a closed one does not', async () => {
  const hub = new Hub()
  await serving(app(hub), async origin => {
    const run = promisify(execFile)(process.execPath, [program('source.js'), `${origin}/events`])
    const child = within(10_000, run, 'the end of the process')
    await eventually(() => hub.subscribers('t') === 1, 'a subscriber')
    setTimeout(() => hub.publish('t', 'over'), 300)
    assert.equal((await child).stdout, 'over\n')
  })
  hub.close()
})

test('worker threads: streams of their own, gone with the thread', async () => {
  const hub = new Hub()
  await serving(app(hub), async origin => {
    const workers = Array.from({ length: 3 }, () => new Worker(program('source_thread.js'), { workerData: `${origin}/events` }))
    const messages = workers.map(worker => once(worker, 'message'))
    await eventually(() => hub.subscribers('t') === 3, 'three subscribers')
    hub.publish('t', 'hello')
    assert.deepEqual((await Promise.all(messages)).flat(), ['hello', 'hello', 'hello'])
    // Their sources are open still.
    await Promise.all(workers.map(worker => worker.terminate()))
    await eventually(() => hub.subscribers('t') === 0, 'the end of their streams')
  })
  hub.close()
})
