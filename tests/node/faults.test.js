// Clients that close one side of their connection, or that speak and read in drops.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'

import { Hub, Parser } from 'ssehub'

import { streaming } from './apps.js'
import { eventually, open, raw, serving, sleep } from './helpers.js'

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
const MODES = { detach: 'detached', hold: 'held', off: 'in-loop' }

/** How many streams of a mode there are. */
const count = (hub, mode) => {
  const { connections, detached, held } = hub.stats()
  return { detached, held, 'in-loop': connections - detached - held }[mode]
}

function ends(hub) {
  const seen = []
  hub.on('close', ({ mode, reason }) => seen.push([mode, reason]))
  return seen
}

for (const [name, make] of Object.entries(streaming)) {
  for (const [handoff, mode] of Object.entries(MODES)) {
    test(`${name}, ${handoff}: a client that closes its side has left, and gets the end`, async () => {
      const hub = new Hub()
      const seen = ends(hub)
      const server = await make(() => hub.subscribe('t'), { handoff })
      await serving(server, async url => {
        const other = await open(url)
        const client = raw(server.address().port, GET)
        await eventually(() => count(hub, mode) === 2, mode)
        hub.publish('t', 'before')
        await eventually(() => client.text.includes('before'))
        client.socket.end()
        await eventually(() => seen.length === 1 && client.closed, 'the end')
        hub.publish('t', 'after')
        assert.deepEqual((await other.take(2)).map(event => event.data), ['before', 'after'])
        assert.deepEqual(seen, [[mode, 'client']])
        assert.equal(count(hub, mode), 1)
      })
    })
  }
}

for (const [handoff, mode] of Object.entries(MODES)) {
  test(`${handoff}: a client that closes its side together with its request`, async () => {
    const hub = new Hub()
    const seen = ends(hub)
    const server = await streaming['node:http'](() => hub.subscribe('t'), { handoff })
    await serving(server, async () => {
      const client = raw(server.address().port, GET)
      client.socket.end()
      await eventually(() => client.closed, 'the end of the connection')
      await eventually(() => hub.stats().connections === 0, 'the end of the stream')
      // It may have been over before it began.
      assert.ok(hub.stats().opened <= 1)
      await eventually(() => hub.stats().opened === seen.length, 'its event')
    })
  })

  test(`${handoff}: a request that comes in drops`, async () => {
    const hub = new Hub()
    const server = await streaming['node:http'](() => hub.subscribe('t'), { handoff })
    await serving(server, async () => {
      const client = raw(server.address().port, '')
      client.socket.setNoDelay(true)
      for (const drop of GET) {
        client.socket.write(drop)
        await sleep(1)
      }
      await eventually(() => count(hub, mode) === 1, mode)
      hub.publish('t', 'one')
      await eventually(() => client.text.includes('data: one'))
      client.socket.destroy()
      await eventually(() => hub.stats().connections === 0)
    })
  })

  test(`${handoff}: a client that reads in drops gets everything, and delays nobody`, async () => {
    const hub = new Hub({ maxLag: 8 << 20, history: { count: 100 } })
    const seen = ends(hub)
    const server = await streaming['node:http'](() => hub.subscribe('t'), { handoff })
    await serving(server, async url => {
      const slow = drops(server.address().port)
      const other = await open(url)
      await eventually(() => count(hub, mode) === 2, mode)
      const text = 'x'.repeat(2000)
      // More than the system buffers for it.
      for (let n = 0; n < 2000; n += 1) hub.publish('t', `${n} ${text}`)
      await other.until(() => other.events.length === 2000, 'the other one')
      assert.ok(slow.events.length < 2000, 'it is far behind')
      slow.hurry()
      await eventually(() => slow.events.length === 2000, 'all for the slow one', 20_000)
      assert.deepEqual(slow.events.map(event => parseInt(event.data, 10)), Array.from({ length: 2000 }, (_, n) => n))
      assert.deepEqual(seen, [])
      slow.socket.destroy()
    })
  })
}

/** Reads a hundred bytes at a time, with a pause after each; and, once it hurries, without one. */
function drops(port) {
  const parser = new Parser()
  const seen = { events: [], hurry: undefined, socket: undefined }
  let pause = 1
  let head = ''
  const body = unchunker(bytes => seen.events.push(...parser.feed(bytes)))
  seen.hurry = () => (pause = 0)
  seen.socket = connect({
    port,
    host: '127.0.0.1',
    onread: {
      buffer: Buffer.alloc(100),
      callback(length, buffer) {
        let bytes = Buffer.from(buffer.subarray(0, length))
        if (head !== undefined) {
          head += bytes.toString('latin1')
          const end = head.indexOf('\r\n\r\n')
          if (end < 0) return true
          bytes = Buffer.from(head.slice(end + 4), 'latin1')
          head = undefined
        }
        body(bytes)
        if (pause === 0) return true
        setTimeout(() => seen.socket.resume(), pause)
        return false
      },
    },
  })
  seen.socket.on('error', () => {})
  seen.socket.write(GET)
  return seen
}

/** Takes the chunked coding off, as it comes. */
function unchunker(give) {
  let rest = Buffer.alloc(0)
  return bytes => {
    rest = Buffer.concat([rest, bytes])
    for (;;) {
      const end = rest.indexOf('\r\n')
      if (end < 0) return
      const size = parseInt(rest.toString('latin1', 0, end), 16)
      if (rest.length < end + 2 + size + 2) return
      give(rest.subarray(end + 2, end + 2 + size))
      rest = rest.subarray(end + 2 + size + 2)
    }
  }
}
