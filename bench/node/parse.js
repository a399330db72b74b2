// `node parse.js <peer>`: one Node parser as a worker.
//
// Each peer takes an array of byte chunks and calls `each(data)` once per event. The stream
// adapters all read the same kind of Response body, one chunk per read.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Readable } from 'node:stream'
import { crc32 } from 'node:zlib'

import * as ssehub from './ssehub.js'
import { installedVersion, secondsPerPass, serve } from './worker.js'

const require = createRequire(import.meta.url)

function response(chunks) {
  let next = 0
  const body = new ReadableStream({
    pull(controller) {
      if (next < chunks.length) controller.enqueue(chunks[next++])
      else controller.close()
    },
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
}

const peers = {
  'ssehub Parser': async () => {
    const { Parser } = ssehub.load()
    return (chunks, each) => {
      const parser = new Parser()
      for (const chunk of chunks) {
        for (const event of parser.feed(chunk)) each(event.data)
      }
    }
  },

  'ssehub events': async () => {
    const { events } = ssehub.load()
    return async (chunks, each) => {
      for await (const event of events(response(chunks))) each(event.data)
    }
  },

  'eventsource-parser feed': async () => {
    const { createParser } = await import('eventsource-parser')
    return (chunks, each) => {
      const decoder = new TextDecoder()
      const parser = createParser({ onEvent: event => each(event.data) })
      for (const chunk of chunks) parser.feed(decoder.decode(chunk, { stream: true }))
    }
  },

  'eventsource-parser stream': async () => {
    const { EventSourceParserStream } = await import('eventsource-parser/stream')
    return async (chunks, each) => {
      const events = response(chunks)
        .body.pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream())
      for await (const event of events) each(event.data)
    }
  },

  undici: async () => {
    const { EventSourceStream } = require('undici/lib/web/eventsource/eventsource-stream.js')
    return async (chunks, each) => {
      const source = Readable.from(chunks, { objectMode: false })
      const settings = { lastEventId: '', origin: 'http://localhost', reconnectionTime: 3000 }
      const stream = source.pipe(new EventSourceStream({ eventSourceSettings: settings }))
      for await (const event of stream) each(event.options.data)
    }
  },

  'fetch-event-source': async () => {
    const { getBytes, getLines, getMessages } = require(
      '@microsoft/fetch-event-source/lib/cjs/parse.js',
    )
    const ignore = () => {}
    return (chunks, each) =>
      getBytes(
        response(chunks).body,
        getLines(getMessages(ignore, ignore, message => each(message.data))),
      )
  },
}

const packages = {
  'eventsource-parser feed': 'eventsource-parser',
  'eventsource-parser stream': 'eventsource-parser',
  undici: 'undici',
  'fetch-event-source': '@microsoft/fetch-event-source',
}

/** Chunks of `size` bytes, each in memory of its own; 0 is one event per chunk. */
function cut(stream, size) {
  const chunks = []
  let start = 0
  while (start < stream.length) {
    const end = size > 0 ? start + size : stream.indexOf('\n\n', start) + 2
    chunks.push(new Uint8Array(stream.subarray(start, end)))
    start = end
  }
  return chunks
}

const name = process.argv[2]
const parse = await peers[name]()

async function digest(chunks) {
  let events = 0
  let crc = 0
  await parse(chunks, data => {
    events += 1
    crc = crc32(data, crc)
  })
  return { events, crc }
}

// What a program does at the least: look at the data.
let seen = 0
const touch = data => {
  seen += data.length
}

await serve(name in packages ? installedVersion(packages[name]) : ssehub.version(), async request => {
  const chunks = cut(readFileSync(request.corpus), request.chunk)
  if (request.min_seconds === undefined) return digest(chunks)
  await parse(chunks, touch)
  const seconds = await secondsPerPass(request.min_seconds, () => parse(chunks, touch))
  if (seen === 0) throw new Error('no event arrived')
  return { seconds }
})
