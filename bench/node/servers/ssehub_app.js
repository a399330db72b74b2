// ssehub in Express, in-loop: the app server writes the sockets.
import { load } from '../ssehub.js'
import { EVENT, run } from './common.js'

const { Hub } = load()
const { sse } = load('/express')

const hub = new Hub()

run(
  sse(() => hub.subscribe('news'), { handoff: 'off' }),
  // The hub numbers its events itself.
  ({ data }) => hub.publish('news', data, { event: EVENT }),
)
