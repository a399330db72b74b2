// A server with a stream, for `node --watch`: it prints its port.
import { createServer } from 'node:http'

import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'

const hub = new Hub()
const server = createServer(sse(() => hub.subscribe('t')))
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`))
