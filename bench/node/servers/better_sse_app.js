// better-sse in Express, with one channel.
import { createChannel, createSession } from 'better-sse'

import { EVENT, run } from './common.js'

const channel = createChannel()

run(
  async (req, res) => {
    // The data is JSON already.
    channel.register(await createSession(req, res, { serializer: text => text }))
  },
  ({ id, data }) => channel.broadcast(data, EVENT, { eventId: id }),
)
