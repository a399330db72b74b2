// A server with streams of all kinds (`/detach`, `/hold`, `/off`), told over IPC what to do with them.
import { createServer } from 'node:http'

import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'

const hub = new Hub()
hub.on('open', ({ mode }) => process.send({ open: mode }))
hub.on('close', ({ mode, reason }) => process.send({ close: mode, reason }))
const routes = Object.fromEntries(
  ['detach', 'hold', 'off'].map(handoff => [`/${handoff}`, sse(() => hub.subscribe('t'), { handoff })]),
)
const server = createServer((req, res) => routes[req.url](req, res))
const orders = {
  closeAllConnections: () => server.closeAllConnections(),
  publish: () => hub.publish('t', 'still here'),
  close: () => server.close(() => process.send({ closed: true })),
  drain: async () => {
    await hub.drain({ timeout: 5000, spread: 0 })
  },
}
process.on('message', async order => {
  await orders[order]()
  const { connections, detached, held } = hub.stats()
  process.send({ done: order, connections, detached, held })
})
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
// The channel to the parent must not be what keeps this process alive.
process.channel.unref()
