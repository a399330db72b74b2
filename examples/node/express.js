// A news feed with Express.
//
//   npm install ssehub express          (inside this repository: npm install && npm run build)
//   node examples/node/express.js
//   curl -N http://127.0.0.1:3000/events
//   curl -X POST -H 'content-type: application/json' -d '{"title":"hello"}' http://127.0.0.1:3000/news
import express from 'express'
import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'

const hub = new Hub()
const app = express()
app.use(express.json())

// All that is published from now on; with a Last-Event-ID, all that was missed first.
app.get('/events', sse(() => hub.subscribe('news')))

app.post('/news', (req, res) => {
  hub.publish('news', req.body, { event: 'posted' })
  res.sendStatus(202)
})

// One response, one stream: whatever the generator yields.
app.post('/chat', sse(async function* (_req, _res, { signal }) {
  for (const word of 'A token at a time .'.split(' ')) {
    if (signal.aborted) return
    yield { word }
    await new Promise(resolve => {
      setTimeout(resolve, 100)
    })
  }
}))

const server = app.listen(process.env.PORT ?? 3000, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}/events`)
})
