// The server under Express.
import express from 'express'
import { sse } from 'ssehub/express'

import { address, snapshot, stats, stop, subscription } from './publisher.js'

const app = express()
const handlers = {}
for (const handoff of ['detach', 'hold', 'off']) {
  const options = { key: ({ query }) => query.key, handoff }
  handlers[handoff] = sse(subscription, options)
  handlers[`${handoff} 1`] = sse(subscription, { ...options, snapshot })
}
app.get('/events', (req, res, next) => {
  const { handoff, snapshot: wanted } = req.query
  return handlers[wanted === undefined ? handoff : `${handoff} 1`](req, res, next)
})
app.post('/stop', async (_req, res) => {
  await stop()
  res.send('stopped')
})
// As at the end of the server, which then begins anew.
app.post('/drain', (_req, res) => {
  res.send('drained')
  server.close(() => server.listen(address))
})
app.get('/stats', (_req, res) => res.json(stats()))

const server = app.listen(address.port, address.host, address.backlog)
