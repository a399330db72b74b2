// Servers with open streams end: by signal, by close(), with and without handlers of the application.
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test } from 'node:test'

import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'

import { eventually, inbox, open, program, within } from './helpers.js'

const handoffs = ['detach', 'hold', 'off']

async function withServer(mode, handoff, use) {
  const child = fork(program('server.js'), [mode, handoff])
  try {
    const told = inbox(child)
    const { port } = await told('port')
    await use(child, `http://127.0.0.1:${port}`, told)
  } finally {
    child.kill('SIGKILL')
  }
}

async function streams(url, count) {
  const list = await Promise.all(Array.from({ length: count }, () => open(url)))
  for (const stream of list) await stream.until(() => stream.lastEventId !== '')
  return list
}

for (const [signal, handoff] of ['SIGTERM', 'SIGINT'].flatMap(name => handoffs.map(word => [name, word]))) {
  test(`${handoff}: ${signal}, and nobody listens for it: 100 streams end, then the process, by the signal`, async () => {
    await withServer('none', handoff, async (child, url) => {
      const list = await streams(`${url}/events`, 100)
      const exit = once(child, 'exit')
      const start = Date.now()
      child.kill(signal)
      assert.deepEqual(await within(10_000, exit, 'the exit'), [null, signal])
      const took = Date.now() - start
      assert.ok(took < 2000, `${took} ms`)
      for (const stream of list) {
        await stream.end()
        assert.ok(stream.complete, 'the body was terminated')
        assert.match(stream.text, /retry: \d+\n\n$/)
      }
    })
  })
}

for (const handoff of handoffs) test(`${handoff}: SIGTERM with a handler that closes the server: the same, and the process ends by itself`, async () => {
  await withServer('close', handoff, async (child, url, told) => {
    const list = await streams(`${url}/events`, 100)
    const plain = await fetch(`${url}/plain`)
    assert.equal(await plain.text(), 'ok')
    const exit = once(child, 'exit')
    const start = Date.now()
    child.kill('SIGTERM')
    await told('closed')
    assert.deepEqual(await within(10_000, exit, 'the exit'), [0, null])
    const took = Date.now() - start
    assert.ok(took < 2000, `${took} ms`)
    for (const stream of list) {
      await stream.end()
      assert.ok(stream.complete)
      assert.equal(stream.events.at(-1).data, 'last words')
    }
  })
})

for (const handoff of handoffs) test(`${handoff}: close() without any signal, with idle keep-alive connections`, async () => {
  await withServer('message', handoff, async (child, url, told) => {
    const list = await streams(`${url}/events`, 10)
    child.send('close')
    await told('closed')
    for (const stream of list) await stream.end()
  })
})

test('a finite stream may finish', async () => {
  await withServer('none', 'off', async (child, url) => {
    const stream = await open(`${url}/chat`)
    await stream.take(1)
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    await stream.end()
    assert.ok(stream.complete)
    assert.deepEqual(stream.events.map(e => e.data), ['y'])
    assert.deepEqual(await within(5000, exit, 'the exit'), [null, 'SIGTERM'])
  })
})

test('a second signal ends at once', async () => {
  await withServer('none', 'off', async (child, url) => {
    const stream = await open(`${url}/chat`)
    await stream.take(1)
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    setTimeout(() => child.kill('SIGTERM'), 50)
    assert.deepEqual(await within(5000, exit, 'the exit'), [null, 'SIGTERM'])
    await stream.end()
    assert.equal(stream.complete, false)
  })
})

for (const handoff of handoffs) test(`${handoff}: one server that closes leaves the streams of another, and the hub, alone`, async () => {
  const hub = new Hub()
  const handler = sse(() => hub.subscribe('t'), { handoff })
  const servers = [createServer(handler), createServer(handler)]
  const lists = []
  for (const server of servers) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    lists.push(await streams(`http://127.0.0.1:${server.address().port}`, 2))
  }
  await new Promise(resolve => { servers[0].close(resolve) })
  for (const stream of lists[0]) {
    await stream.end()
    assert.ok(stream.complete)
    assert.match(stream.text, /retry: \d+\n\n$/)
  }
  await eventually(() => hub.stats().closed.drain === 2)
  assert.equal(hub.ready, true)
  hub.publish('t', 'still here')
  for (const stream of lists[1]) assert.equal((await stream.take(1))[0].data, 'still here')
  await new Promise(resolve => { servers[1].close(resolve) })
  for (const stream of lists[1]) await stream.end()
  await eventually(() => hub.stats().connections === 0)
})
