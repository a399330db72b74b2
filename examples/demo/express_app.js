// The demo with Express: four streams, one hub.
//
// run.py starts it together with its FastAPI twin; alone: node examples/demo/express_app.js

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import express from 'express'
import { event, Hub } from 'ssehub'
import { sse } from 'ssehub/express'

const [host = '127.0.0.1', port = 8002] = process.argv.slice(2)
const { version } = createRequire(import.meta.url)('ssehub/package.json')
const statics = `${import.meta.dirname}/static`
const content = JSON.parse(readFileSync(`${import.meta.dirname}/content.json`, 'utf8'))

const hub = new Hub({
  topics: {
    ticker: { count: 240 },                // the minute that the chart shows
    notifications: { count: 20 },
    stats: { count: 1 },
  },
})

// What happens by itself, and is published.

let price = 100
setInterval(() => {
  price = Math.max(price + 0.4 * (Math.random() + Math.random() - 1), 1)
  hub.publish('ticker', { symbol: 'SSE', price: Number(price.toFixed(2)), at: Date.now() }, { event: 'price' })
}, 250)

let n = 0
function notify({ title, body = '' }) {
  n += 1
  hub.publish('notifications', { n, title, body, at: Date.now() }, { event: 'notification' })
}

let next = 0
function work() {
  notify(content.notifications[next])
  next = (next + 1) % content.notifications.length
}
work()
setInterval(work, 2000)

setInterval(() => hub.publish('stats', hub.stats(), { event: 'stats' }), 1000)

// Streams of the hub. A new client begins with what the topic remembers, one that comes back where it was.

const app = express()
app.get('/events/ticker', sse(() => hub.subscribe('ticker', { lastEventId: 'earliest' })))
app.get('/events/notifications', sse(() => hub.subscribe('notifications', { lastEventId: 'earliest' })))
app.get('/events/stats', sse(() => hub.subscribe('stats', { lastEventId: 'earliest' })))

app.post('/notifications', express.json(), (req, res) => {
  notify(req.body)
  res.sendStatus(202)
})

// A stream of one request.

app.post('/chat', express.json(), sse(async function* (req, res, { signal }) {
  const tokens = `You asked: “${req.body.prompt}”\n\n${content.answer}`.match(/\s*\S+/g)
  for (const text of tokens) {
    await sleep(1000 / 35, null, { signal })
    yield event({ event: 'token', data: { text } })
  }
  yield event({ event: 'done', data: { tokens: tokens.length } })
}))

// The page.

app.get('/config', (req, res) => {
  res.json({ name: 'Express', language: 'Node', version, peer: process.env.DEMO_PEER, history: { count: 20, age: 300 } })
})
app.get('/', (req, res) => res.sendFile('index.html', { root: statics }))
app.use('/static', express.static(statics))

app.listen(Number(port), host)
