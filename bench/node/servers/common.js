// What all Node servers of the fan-out benchmark have in common.
//
// `POST /publish?n=&size=` publishes n events of `size` bytes and answers at once, `GET /fast` is
// the trivial route, `POST /gc` collects garbage so that memory can be compared. Every server gets
// the same JSON text, made once per event: no peer is charged for JSON.
import express from 'express'

export const EVENT = 'tick'

let seq = 0

function payload(size) {
  seq += 1
  const head = `{"seq":${seq},"ts":${process.hrtime.bigint()},"pad":"`
  return { id: String(seq), data: `${head}${'x'.repeat(size - head.length - 2)}"}` }
}

/** Serves `/events` with the handler; `publish` takes an id and a text. */
export function run(events, publish) {
  const app = express()
  app.get('/events', events)
  app.post('/publish', (req, res) => {
    const size = Number(req.query.size)
    for (let n = Number(req.query.n); n > 0; n -= 1) publish(payload(size))
    res.status(204).end()
  })
  app.get('/fast', (req, res) => {
    res.type('text/plain').send('ok')
  })
  app.post('/gc', (req, res) => {
    globalThis.gc()
    res.status(204).end()
  })
  app.listen(Number(process.argv[2]), '127.0.0.1')
}
