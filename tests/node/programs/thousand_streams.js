// Opens a thousand streams of a URL and closes them, again and again, and tells what it held after each round:
// `node --expose-gc thousand_streams.js URL`, over IPC.
import { memoryUsage } from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'

import { EventSource } from 'ssehub'

const STREAMS = 1000
const ROUNDS = 10

/** Bytes in use: those that the engine for JavaScript keeps free for later are not a stream's. */
async function used() {
  for (let n = 0; n < 3; n += 1) {
    globalThis.gc()
    await sleep(10)
  }
  const { rss, heapTotal, heapUsed } = memoryUsage()
  return rss - heapTotal + heapUsed
}

async function round() {
  const sources = Array.from({ length: STREAMS }, () => new EventSource(process.argv[2]))
  await Promise.all(sources.map(source => new Promise(resolve => {
    source.onmessage = resolve
  })))
  for (const source of sources) source.close()
}

const rounds = []
for (let n = 0; n < ROUNDS; n += 1) {
  await round()
  rounds.push(await used())
}
process.send({ rounds })
process.disconnect()
