// Long runs: what leaks one thing per thousand connections shows here. `npm run test:slow`.
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'

import { program, sleep, within } from '../helpers.js'

async function withServer(use) {
  const child = fork(program('measured.js'), { execArgv: ['--expose-gc'] })
  const ask = async (message = {}) => {
    child.send(message)
    return (await within(60_000, once(child, 'message'), 'an answer'))[0]
  }
  const settled = async isSo => {
    for (let i = 0; i < 500; i += 1) {
      const state = await ask()
      if (isSo(state)) return ask({ collect: true })
      await sleep(20)
    }
    throw new Error(`not settled: ${JSON.stringify(await ask())}`)
  }
  try {
    const [{ port }] = await within(10_000, once(child, 'message'), 'the server')
    await use({ port, ask, settled })
  } finally {
    child.kill('SIGKILL')
  }
}

const REQUEST = 'GET /events HTTP/1.1\r\nHost: x\r\n\r\n'

/** One client: connects, reads a little or nothing, and is gone in one of four ways. */
async function comeAndGo(port, kind) {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.on('error', () => {})
  await once(socket, 'connect')
  const closed = once(socket, 'close')
  socket.write(REQUEST)
  if (kind === 0) socket.resetAndDestroy()
  else if (kind === 1) socket.end()
  else {
    await once(socket, 'data')
    if (kind === 2) socket.resetAndDestroy()
    else socket.destroy()
  }
  socket.resume()
  await within(10_000, closed, 'the end of a connection')
}

async function round(port, count) {
  for (let done = 0; done < count; done += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, i) => comeAndGo(port, i % 4)))
  }
}

test('10,000 clients that come and go leave nothing behind', { timeout: 300_000 }, async () => {
  await withServer(async ({ port, ask, settled }) => {
    const idle = state => state.stats.connections === 0 && state.told.open === state.told.close
    await ask({ publish: 100 })
    await round(port, 2000)
    const before = await settled(idle)
    await round(port, 8000)
    const after = await settled(idle)
    assert.equal(after.stats.subscriptions, 0)
    assert.ok(after.stats.opened > 5000, `${after.stats.opened} streams`)
    assert.equal(after.told.open, after.stats.opened)
    // Half of them have read something, so theirs were the engine's, if nothing went wrong before that.
    assert.ok(after.told.modes.detached > 2500, JSON.stringify(after.told.modes))
    assert.deepEqual(after.stats.handoffsRefused, {})
    assert.ok(after.descriptors <= before.descriptors + 5, `descriptors: ${before.descriptors}, ${after.descriptors}`)
    const grown = (after.rss - before.rss) / 1e6
    assert.ok(grown < 30, `${grown} MB more`)
  })
})

test('one stalled client among 1,000', { timeout: 300_000 }, async () => {
  await withServer(async ({ port, ask, settled }) => {
    const clients = []
    for (let i = 0; i < 999; i += 1) {
      const socket = connect({ port, host: '127.0.0.1' })
      socket.resume()
      socket.on('error', () => {})
      socket.write(REQUEST)
      clients.push(socket)
      if (i % 100 === 99) await sleep(20)
    }
    const stalled = connect({ port, host: '127.0.0.1' })
    stalled.on('error', () => {})
    stalled.pause()
    stalled.write(REQUEST)
    await settled(state => state.stats.detached === 1000)
    const before = await ask({ collect: true })
    // What the stalled one can take is little, and not known; the others read all, as it comes.
    let { rss: peak, stats, told } = before
    while (told.reasons.slow === undefined) {
      ;({ stats, told } = await ask({ publish: 100 }))
      for (let delivered = -1; stats.delivered !== delivered; ) {
        ;({ delivered } = stats)
        await sleep(100)
        ;({ stats, told } = await ask())
      }
    }
    const taken = stats.delivered - 999 * stats.published
    assert.ok(taken > 0 && taken < 20_000, `${taken} events for the stalled one`)
    for (let n = 0; n < 30_000; n += 100) {
      ;({ stats } = await ask({ publish: 100 }))
      while (stats.delivered < taken + 999 * stats.published) {
        const state = await ask()
        stats = state.stats
        peak = Math.max(peak, state.rss)
        await sleep(1)
      }
    }
    const after = await settled(state => state.told.reasons.slow === 1)
    assert.deepEqual([after.stats.connections, after.stats.detached], [999, 999])
    assert.deepEqual(after.stats.closed.slow, 1)
    assert.deepEqual(after.told.reasons, { slow: 1 })
    const grown = (peak - before.rss) / 1e6
    assert.ok(grown < 300, `${grown} MB more at the peak`)
    for (const socket of clients) socket.destroy()
    stalled.destroy()
    await settled(state => state.stats.connections === 0)
  })
})
