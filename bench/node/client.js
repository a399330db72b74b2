// `node client.js <peer>`: one Node client as a worker, from the socket to the event's data.
//
// Each peer calls `each(data)` once per event, and `done` when the stream has ended, which none of them takes for its
// end: they are closed then. What they are asked is what python/client.py is asked, too.
import { readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { crc32 } from 'node:zlib'

import * as ssehub from './ssehub.js'
import { installedVersion, serve } from './worker.js'

/** By the interface of the standard. Returns how to close it. */
const listening = EventSource => (url, each, done) => {
  const source = new EventSource(url)
  source.onmessage = event => each(event.data)
  // The type of the large events.
  source.addEventListener('stock', source.onmessage)
  source.onerror = () => {
    source.close()
    done()
  }
  return () => source.close()
}

const peers = {
  'ssehub EventSource': async () => listening(ssehub.load().EventSource),

  'ssehub EventSource loop': async () => {
    const { EventSource } = ssehub.load()
    return (url, each, done) => {
      const source = new EventSource(url, { reconnect: false })
      const read = async () => {
        for await (const event of source) each(event.data)
        done()
      }
      read()
      return () => source.close()
    }
  },

  eventsource: async () => listening((await import('eventsource')).EventSource),

  undici: async () => listening((await import('undici')).EventSource),
}

const name = process.argv[2]
const open = await peers[name]()

const whole = (url, each) => new Promise(resolve => { open(url, each, resolve) })

async function digest(url) {
  let events = 0
  let crc = 0
  await whole(url, data => {
    events += 1
    crc = crc32(data, crc)
  })
  return { events, crc }
}

const cpuSeconds = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

async function timed({ url, min_seconds: minSeconds }) {
  let events = 0
  let length = 0
  // What a program does at the least: look at the data.
  const touch = data => {
    events += 1
    length += data.length
  }
  const begin = performance.now()
  const cpu = cpuSeconds()
  let elapsed
  do {
    await whole(url, touch)
    elapsed = (performance.now() - begin) / 1e3
  } while (elapsed < minSeconds)
  if (length === 0) throw new Error('no event arrived')
  return { seconds: elapsed / events, cpu: (cpuSeconds() - cpu) / events }
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc')

function anonymousMemory() {
  collectGarbage()
  return Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024
}

/** Many streams at the same time, an event for each of them again and again. */
async function many({ url, clients, rounds }) {
  const before = anonymousMemory()
  let got = 0
  let target
  let reached
  const until = count => new Promise(resolve => {
    target = count
    reached = resolve
  })
  const each = () => {
    got += 1
    if (got === target) reached()
  }
  let cpu = cpuSeconds()
  const opened = until(clients)
  const closes = Array.from({ length: clients }, () => open(url, each, () => {}))
  await opened
  const served = until(clients * (rounds + 1))
  const opening = cpuSeconds() - cpu
  const memory = anonymousMemory() - before
  cpu = cpuSeconds()
  await served
  cpu = cpuSeconds() - cpu
  for (const close of closes) close()
  return { opening: opening / clients, cpu: cpu / clients / rounds, memory: memory / clients }
}

await serve(name.startsWith('ssehub') ? ssehub.version() : installedVersion(name), request => {
  if (request.clients !== undefined) return many(request)
  return request.min_seconds === undefined ? digest(request.url) : timed(request)
})
