// The plain loop in Express: frames encoded once, `res.write` per client, nothing else.
import { EVENT, run } from './common.js'

const clients = new Set()

run(
  (req, res) => {
    res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' })
    res.flushHeaders()
    clients.add(res)
    res.on('close', () => clients.delete(res))
  },
  ({ id, data }) => {
    const frame = Buffer.from(`id: ${id}\nevent: ${EVENT}\ndata: ${data}\n\n`)
    for (const res of clients) res.write(frame)
  },
)
