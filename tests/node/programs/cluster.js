// Two processes behind one port, each with a hub of its own, which tells its clients who it is.
import cluster from 'node:cluster'
import { createServer } from 'node:http'

import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'

if (cluster.isPrimary) {
  const workers = [cluster.fork(), cluster.fork()]
  for (const worker of workers) worker.on('message', message => process.send(message))
  process.on('message', () => {
    for (const worker of workers) worker.disconnect()
    process.disconnect()
  })
} else {
  const hub = new Hub()
  hub.on('open', ({ mode }) => {
    process.send({ mode })
    hub.publish('t', process.pid)
  })
  const server = createServer(sse(() => hub.subscribe('t')))
  server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
}
