// Servers that close all their connections: what is still theirs ends, what the engine has does not.
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'

import { eventually, inbox, open, program, within } from './helpers.js'

const COUNT = 3
const MODES = { detach: 'detached', hold: 'held', off: 'in-loop' }

/** A process of its own, with so many streams of each kind. */
async function withStreams(use) {
  const child = fork(program('closing.js'))
  try {
    const told = inbox(child)
    const ends = []
    child.on('message', ({ close, reason }) => close && ends.push(`${close} ${reason}`))
    const { port } = await told('port')
    const streams = {}
    for (const handoff of Object.keys(MODES)) {
      streams[handoff] = await Promise.all(
        Array.from({ length: COUNT }, () => open(`http://127.0.0.1:${port}/${handoff}`)),
      )
    }
    for (let n = 0; n < 3 * COUNT; n += 1) await told('open')
    const order = async what => {
      child.send(what)
      return told('done')
    }
    await use({ child, order, ends, streams, url: `http://127.0.0.1:${port}` })
  } finally {
    child.kill('SIGKILL')
  }
}

const times = (count, text) => Array.from({ length: count }, () => text)

test('closeAllConnections: held and in-loop streams end, detached ones go on until they are drained', async () => {
  await withStreams(async ({ child, order, ends, streams, url }) => {
    await order('closeAllConnections')
    const cut = [...streams.hold, ...streams.off]
    for (const stream of cut) {
      await stream.end()
      assert.equal(stream.complete, false)
    }
    const told = [...times(COUNT, 'held client'), ...times(COUNT, 'in-loop client')]
    await eventually(() => ends.length === told.length, 'the ends')
    assert.deepEqual(ends.toSorted(), told)
    const { connections, detached, held } = await order('publish')
    assert.deepEqual([connections, detached, held], [COUNT, COUNT, 0])
    for (const stream of streams.detach) assert.equal((await stream.take(1))[0].data, 'still here')
    // The server serves on: clients come back.
    const again = await open(`${url}/hold`)
    await again.until(() => again.lastEventId !== '')
    again.close()
    const exit = once(child, 'exit')
    await order('close')
    const after = await order('drain')
    assert.deepEqual([after.connections, after.detached, after.held], [0, 0, 0])
    for (const stream of streams.detach) {
      await stream.end()
      assert.ok(stream.complete)
      assert.match(stream.text, /retry: \d+\n\n$/)
    }
    assert.deepEqual(await within(5000, exit, 'the exit'), [0, null])
    // Each once, and the late one, too.
    assert.deepEqual(ends.toSorted(), [...times(COUNT, 'detached drain'), ...times(1, 'held client'), ...told].toSorted())
  })
})

test('close, then closeAllConnections, as those do who cannot wait', async () => {
  await withStreams(async ({ child, ends, streams }) => {
    const exit = once(child, 'exit')
    child.send('close')
    child.send('closeAllConnections')
    for (const stream of [...streams.hold, ...streams.off]) await stream.end()
    // Nobody drains the hub: that the server has closed is enough.
    for (const stream of streams.detach) {
      await stream.end()
      assert.ok(stream.complete)
    }
    assert.deepEqual(await within(5000, exit, 'the exit'), [0, null])
    assert.deepEqual(ends.toSorted(), [
      ...times(COUNT, 'detached drain'),
      ...times(COUNT, 'held client'),
      ...times(COUNT, 'in-loop client'),
    ])
  })
})
