// A stream, a page that reads it, and what a test wants to do to it. Served by Express for test_reconnect.py.
import express from 'express'
import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'

const hub = new Hub({ retry: 100 })
const app = express()

app.get('/events', sse(() => hub.subscribe('news')))

app.post('/publish/:n', (req, res) => {
  hub.publish('news', { n: Number(req.params.n) }, { event: 'posted' })
  res.sendStatus(202)
})

app.post('/cut', (req, res) => res.json(hub.disconnect({ topic: 'news', event: { event: 'farewell', data: 'bye' } })))
app.get('/streams', (req, res) => res.json(hub.stats().connections))
app.get('/', (req, res) => res.sendFile('reconnect.html', { root: import.meta.dirname }))

app.listen(Number(process.argv[2]), '127.0.0.1')
