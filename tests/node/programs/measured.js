// An Express app with a stream, which tells what it holds: `node --expose-gc measured.js`, over IPC.
import { readdirSync } from 'node:fs'

import express from 'express'
import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'

const hub = new Hub()
const app = express()
const told = { open: 0, close: 0, modes: {}, reasons: {} }
hub.on('open', ({ mode }) => {
  told.open += 1
  told.modes[mode] = (told.modes[mode] ?? 0) + 1
})
hub.on('close', ({ reason }) => {
  told.close += 1
  told.reasons[reason] = (told.reasons[reason] ?? 0) + 1
})
app.get('/events', sse(() => hub.subscribe('t'), { key: () => 'k' }))

const text = 'x'.repeat(1000)
process.on('message', async message => {
  if (message.publish) for (let n = 0; n < message.publish; n += 1) hub.publish('t', text)
  if (message.collect) {
    for (let i = 0; i < 3; i += 1) {
      globalThis.gc()
      await new Promise(resolve => {
        setTimeout(resolve, 20)
      })
    }
  }
  process.send({
    stats: hub.stats(),
    told,
    rss: process.memoryUsage().rss,
    descriptors: readdirSync('/proc/self/fd').length,
  })
})
const server = app.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
