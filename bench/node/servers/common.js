// What all Node servers of the fan-out benchmarks have in common.
//
// `POST /publish?n=&size=&pause_ms=` publishes n events of `size` bytes and answers how long each
// call took, `GET /fast` is the trivial route, `POST /gc` collects garbage so that memory can be
// compared. Every server gets the same JSON text, made once per event: no peer is charged for JSON.
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises'

import express from 'express'

export const EVENT = 'tick'

let seq = 0

function payload(size) {
  seq += 1
  const head = `{"seq":${seq},"ts":${process.hrtime.bigint()},"pad":"`
  return { id: String(seq), data: `${head}${'x'.repeat(size - head.length - 2)}"}` }
}

/** Serves `/events` with the handler; `publish` takes an id and a text. Returns the app. */
export function run(events, publish) {
  const app = express()
  app.get('/events', events)
  app.post('/publish', async (req, res) => {
    const [n, size, pause] = ['n', 'size', 'pause_ms'].map(name => Number(req.query[name] ?? 0))
    const calls = []
    while (calls.length < n) {
      const item = payload(size)
      const start = process.hrtime.bigint()
      publish(item)
      calls.push(Number(process.hrtime.bigint() - start))
      if (pause > 0) await sleep(pause)
    }
    res.json({ calls })
  })
  app.get('/fast', (req, res) => {
    res.type('text/plain').send('ok')
  })
  app.post('/gc', async (req, res) => {
    globalThis.gc()
    // Finalizers run in between; the second time takes what they have let go of.
    await immediate()
    globalThis.gc()
    res.status(204).end()
  })
  app.listen(Number(process.argv[2]), '127.0.0.1')
  return app
}
