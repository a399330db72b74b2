// An Express app that says what those of tests/python/apps say, for tests that stand in front of any server:
// `node host.js <port>`.
import { readdirSync } from 'node:fs'

import express from 'express'
import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'

const hub = new Hub({ retry: 1000 })
const told = []
hub.on('open', ({ mode }) => told.push(['open', mode, '']))
hub.on('close', ({ mode, reason }) => told.push(['close', mode, reason]))

const app = express()
app.get('/', (_req, res) => res.type('text').send('ok'))
app.get('/events', (req, res, next) => {
  const { handoff, key, heartbeat = 15 } = req.query
  return sse(() => hub.subscribe('t'), { handoff, key: () => key, heartbeat: Number(heartbeat) })(req, res, next)
})
app.post('/publish', express.text({ type: () => true, limit: '10mb' }), async (req, res) => {
  res.type('text').send(await hub.publishAsync('t', req.body))
})
app.post('/kick', (req, res) => res.type('text').send(String(hub.disconnect({ key: req.query.key }))))
app.get('/stats', (_req, res) => {
  const { connections, detached, held, opened, closed, handoffsRefused } = hub.stats()
  res.json({
    connections,
    connections_by_mode: { 'in-loop': connections - detached - held, detached, held },
    opened,
    closed,
    handoffs_refused: handoffsRefused,
    told,
    pid: process.pid,
    descriptors: readdirSync('/proc/self/fd').length,
  })
})
app.listen(Number(process.argv[2]), '127.0.0.1')
