// ssehub in Express. HANDOFF says who writes the sockets: detach, hold, or off for the app server.
import { load } from '../ssehub.js'
import { EVENT, run } from './common.js'

const { Hub } = load()
const { sse } = load('/express')

const hub = new Hub()

const app = run(
  sse(() => hub.subscribe('news'), { handoff: process.env.HANDOFF }),
  // The hub numbers its events itself.
  ({ data }) => hub.publish('news', data, { event: EVENT }),
)

app.get('/metrics', (req, res) => {
  res.type('text/plain').send(hub.metrics())
})
