// A server that has one file descriptor left: `node exhausted.js`, under a limit on open files.
import { closeSync, openSync } from 'node:fs'
import { createServer } from 'node:http'

import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'

const hub = new Hub()
const server = createServer(sse(() => hub.subscribe('t')))
hub.on('open', ({ mode }) => {
  hub.publish('t', { mode, refused: hub.stats().handoffsRefused })
})
server.listen(0, '127.0.0.1', () => {
  console.log(server.address().port)
  const taken = []
  try {
    for (;;) taken.push(openSync('/dev/null'))
  } catch {
    closeSync(taken.pop())
  }
})
