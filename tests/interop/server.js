// What server.py is in Python: a hub's stream, a stream per request, and what a test wants to do to them.
import { setTimeout as sleep } from 'node:timers/promises'

import express from 'express'
import { Hub, event } from 'ssehub'
import { sse } from 'ssehub/express'

const hub = new Hub({ retry: 50, history: { count: 50 } })
const app = express()
app.use(express.json())

app.get('/events', sse(() => hub.subscribe('t')))

app.post('/answer', sse((req, res) => {
  if (req.headers.authorization !== 'token 2') {
    res.sendStatus(401)
    return undefined
  }
  return yields(req.body.words)
}))

async function* yields(words) {
  for (const word of words) {
    await sleep(10)
    yield word
  }
}

app.post('/publish', (req, res) => {
  hub.publish('t', req.body.data, { event: req.body.event })
  res.json(hub.lastEventId)
})

app.post('/cut', (req, res) => res.json(hub.disconnect({ topic: 't' })))

app.post('/drain', async (req, res) => {
  await hub.drain({ timeout: 2, spread: 0, event: event({ data: 'bye', event: 'farewell' }) })
  res.json(null)
})

app.get('/streams', (req, res) => res.json(hub.subscribers('t')))

app.listen(Number(process.argv[2]), '127.0.0.1')
