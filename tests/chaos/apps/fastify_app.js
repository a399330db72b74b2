// The server under Fastify.
import Fastify from 'fastify'
import ssehub from 'ssehub/fastify'

import { address, snapshot, stats, stop, subscription } from './publisher.js'

const app = Fastify()
await app.register(ssehub)
app.get('/events', (request, reply) => {
  const { handoff, key, snapshot: wanted } = request.query
  const options = { key, handoff, ...(wanted !== undefined && { snapshot }) }
  return reply.sse(subscription(request), options)
})
app.post('/stop', async () => {
  await stop()
  return 'stopped'
})
// As at the end of the server, which then begins anew.
app.post('/drain', (_request, reply) => {
  reply.send('drained')
  app.server.close(() => app.server.listen(address))
})
app.get('/stats', async () => stats())

await app.listen(address)
