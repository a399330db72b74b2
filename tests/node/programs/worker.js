// Shares a hub with the main thread: publishes once, then waits for one event.
import { parentPort } from 'node:worker_threads'

import { Hub } from 'ssehub'

const hub = Hub.get('threads')
const down = hub.subscribe('down')[Symbol.asyncIterator]()
const next = down.next()
hub.publish('up', { from: 'worker' })
parentPort.postMessage((await next).value.data)
await down.return()
