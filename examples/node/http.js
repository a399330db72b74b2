// A clock with node:http alone.
//
//   npm install ssehub                  (inside this repository: npm install && npm run build)
//   node examples/node/http.js
//   curl -N http://127.0.0.1:3000/events
import { createServer } from 'node:http'

import { Hub, event } from 'ssehub'
import { sse } from 'ssehub/express'

const hub = new Hub({ history: { count: 10 } })
setInterval(() => hub.publish('clock', { time: new Date() }, { event: 'tick' }), 1000).unref()

const events = sse(() => hub.subscribe('clock'), {
  // What a page needs before the first tick: made on a first connect, and after a gap.
  snapshot: () => event({ data: { started: true }, event: 'snapshot' }),
})

const server = createServer((req, res) => {
  if (req.url.startsWith('/events')) return events(req, res)
  res.statusCode = 404
  return res.end()
})
server.listen(process.env.PORT ?? 3000, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}/events`)
})
