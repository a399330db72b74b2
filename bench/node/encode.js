// `node encode.js <ssehub | better-sse>`: one Node encoder as a worker.
import * as ssehub from './ssehub.js'
import { installedVersion, secondsPerPass, serve } from './worker.js'

/** Encodings per pass: the clock is read between passes only. */
const EVENTS_PER_PASS = 1000

const peers = {
  ssehub: async () => {
    const { encode } = ssehub.load()
    return ({ data, event, id }) => encode({ data, event, id })
  },

  'better-sse': async () => {
    const { createEventBuffer } = await import('better-sse')
    return ({ data, event, id }) => {
      const buffer = createEventBuffer({ serializer: text => text })
      buffer.push(data, event, id)
      return Buffer.from(buffer.read())
    }
  },
}

const name = process.argv[2]
const encode = await peers[name]()

await serve(name === 'ssehub' ? ssehub.version() : installedVersion(name), async request => {
  if (request.min_seconds === undefined) return { wire: encode(request).toString() }
  let bytes = 0
  const pass = () => {
    for (let i = 0; i < EVENTS_PER_PASS; i += 1) bytes += encode(request).length
  }
  pass()
  const seconds = await secondsPerPass(request.min_seconds, pass)
  if (bytes === 0) throw new Error('nothing was encoded')
  return { seconds: seconds / EVENTS_PER_PASS }
})
