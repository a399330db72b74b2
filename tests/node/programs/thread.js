// A server in a worker thread; its hub is shared with the main thread.
import { createServer } from 'node:http'
import { parentPort, workerData } from 'node:worker_threads'

import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'

const hub = Hub.get('server threads')
hub.on('open', ({ mode }) => parentPort.postMessage({ open: mode }))
hub.on('close', ({ mode, reason }) => parentPort.postMessage({ close: mode, reason }))
const server = createServer(sse(() => hub.subscribe('t'), { handoff: workerData?.handoff }))
server.listen(0, '127.0.0.1', () => parentPort.postMessage({ port: server.address().port }))
parentPort.once('message', () => server.close())
