// A news feed with Fastify.
//
//   npm install ssehub fastify          (inside this repository: npm install && npm run build)
//   node examples/node/fastify_app.js
//   curl -N http://127.0.0.1:3000/events
//   curl -X POST -H 'content-type: application/json' -d '{"title":"hello"}' http://127.0.0.1:3000/news
import Fastify from 'fastify'
import { Hub } from 'ssehub'
import ssehub from 'ssehub/fastify'

const hub = new Hub()
const app = Fastify()
await app.register(ssehub)

// All that is published from now on; with a Last-Event-ID, all that was missed first.
app.get('/events', (_request, reply) => reply.sse(hub.subscribe('news')))

app.post('/news', (request, reply) => {
  hub.publish('news', request.body, { event: 'posted' })
  return reply.code(202).send()
})

// One response, one stream: whatever the generator yields.
app.post('/chat', (_request, reply) => reply.sse(async function* () {
  for (const word of 'A token at a time .'.split(' ')) {
    yield { word }
    await new Promise(resolve => {
      setTimeout(resolve, 100)
    })
  }
}()))

const url = await app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' })
console.log(`${url}/events`)
