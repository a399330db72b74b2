// A source in a worker thread, which stays open.
import { parentPort, workerData } from 'node:worker_threads'

import { EventSource } from 'ssehub'

new EventSource(workerData).onmessage = event => parentPort.postMessage(event.data)
