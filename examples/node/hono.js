// A news feed with Hono. `toResponse` works wherever a Request is answered with a Response.
//
//   npm install ssehub hono @hono/node-server     (inside this repository: npm install && npm run build)
//   node examples/node/hono.js
//   curl -N http://127.0.0.1:3000/events
//   curl -X POST -d hello http://127.0.0.1:3000/news
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { Hub } from 'ssehub'
import { toResponse } from 'ssehub/web'

const hub = new Hub()
const app = new Hono()

app.get('/events', c => toResponse(c.req.raw, hub.subscribe('news')))

app.post('/news', async c => {
  hub.publish('news', await c.req.text(), { event: 'posted' })
  return c.body(null, 202)
})

serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3000), hostname: '127.0.0.1' }, ({ port }) => {
  console.log(`http://127.0.0.1:${port}/events`)
})
