// An Express app with a stream, to be ended from outside: `node server.js <what its own handler does> <handoff>`.
import express from 'express'
import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'

const [, , mode, handoff] = process.argv
const hub = new Hub()
hub.on('open', info => process.send({ open: info.mode }))
hub.on('close', info => process.send({ close: info.reason }))
const app = express()
app.get('/events', sse(() => hub.subscribe('t'), { handoff }))
app.get('/chat', sse(async function* () {
  yield 'x'
  await new Promise(resolve => { setTimeout(resolve, 300) })
  yield 'y'
}))
app.get('/plain', (_req, res) => res.send('ok'))
const server = app.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
// The channel to the parent must not be what keeps this process alive.
process.channel.unref()

if (mode === 'close') {
  process.on('SIGTERM', () => {
    hub.publish('t', 'last words')
    server.close(() => process.send({ closed: true }))
  })
}
if (mode === 'message') process.on('message', () => server.close(() => process.send({ closed: true })))
// With its first stream, nothing but streams keeps it alive.
if (mode === 'unref') hub.on('open', () => server.unref())
