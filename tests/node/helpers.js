// What several test files need.
import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { connect as dial } from 'node:net'
import { fileURLToPath } from 'node:url'

import { Parser } from 'ssehub'

/** The cases of a vector file, long texts put together. */
export function vectors(name) {
  const path = new URL(`../vectors/${name}.json`, import.meta.url)
  return JSON.parse(readFileSync(path, 'utf8'), (_key, value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    const whole = {}
    for (const [key, field] of Object.entries(value)) {
      if (key.endsWith('_parts')) whole[key.slice(0, -6)] = field.map(([text, times]) => text.repeat(times)).join('')
      else whole[key] = field
    }
    return whole
  }).cases
}

/** Serves an app on a port of its own for as long as `use` takes. */
export async function serving(app, use) {
  const server = typeof app === 'function' ? createServer(app) : app
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    return await use(`http://127.0.0.1:${server.address().port}`, server)
  } finally {
    const closed = new Promise(resolve => { server.close(resolve) })
    server.closeAllConnections()
    await closed
  }
}

/** One stream, read with node:http, so that what is on the wire can be looked at. */
export async function open(url, { method = 'GET', headers = {}, body = undefined } = {}) {
  const req = request(url, { method, headers, agent: false })
  req.end(body)
  const [res] = await within(5000, once(req, 'response'), `a response of ${url}`)
  const parser = new Parser()
  const events = []
  let text = ''
  const waiting = new Set()
  const check = () => {
    for (const wait of waiting) if (wait.test()) (waiting.delete(wait), wait.resolve())
  }
  const stream = {
    status: res.statusCode,
    headers: res.headers,
    events,
    res,
    ended: false,
    complete: false,
    get text() {
      return text
    },
    get retry() {
      return parser.retry
    },
    get lastEventId() {
      return parser.lastEventId
    },
    until(test, what = 'what was waited for') {
      if (test()) return Promise.resolve()
      return within(5000, new Promise(resolve => { waiting.add({ test, resolve }) }), `${what}; got ${text.slice(-400)}`)
    },
    async take(count) {
      await stream.until(() => events.length >= count, `${count} events`)
      return events.splice(0, count)
    },
    end: () => stream.until(() => stream.ended, 'the end'),
    close() {
      req.destroy()
    },
  }
  res.on('data', chunk => {
    text += chunk
    events.push(...parser.feed(chunk))
    check()
  })
  res.on('close', () => {
    stream.ended = true
    stream.complete = res.complete
    check()
  })
  res.on('error', () => {})
  req.on('error', () => {})
  return stream
}

/** Sends a request, as it is, on a connection of its own, to a port or a path, and collects what comes back. */
export function raw(to, text) {
  const socket = dial(typeof to === 'number' ? { port: to, host: '127.0.0.1' } : { path: to })
  const seen = { socket, text: '', ended: false, closed: false }
  socket.on('data', chunk => (seen.text += chunk))
  socket.on('end', () => (seen.ended = true))
  socket.on('close', () => (seen.closed = true))
  socket.on('error', () => {})
  socket.write(text)
  return seen
}

/** The body of a response in the chunked coding; `undefined` where it is not whole. */
export function unchunk(text) {
  let rest = Buffer.from(text.slice(text.indexOf('\r\n\r\n') + 4))
  let body = ''
  for (;;) {
    const size = parseInt(rest.toString('latin1'), 16)
    const from = rest.indexOf('\r\n') + 2
    if (Number.isNaN(size) || rest.toString('latin1', from + size, from + size + 2) !== '\r\n') return undefined
    if (size === 0) return body
    body += rest.toString('utf8', from, from + size)
    rest = rest.subarray(from + size + 2)
  }
}

export async function within(milliseconds, promise, what) {
  let timer
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${milliseconds} ms for ${what}`)), milliseconds)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Looks until it is so. */
export async function eventually(test, what = 'a condition', milliseconds = 5000) {
  const deadline = Date.now() + milliseconds
  while (!test()) {
    if (Date.now() > deadline) throw new Error(`not within ${milliseconds} ms: ${what}`)
    await sleep(10)
  }
}

export const sleep = milliseconds => new Promise(resolve => { setTimeout(resolve, milliseconds) })

/** Collects the messages of a process or thread. Gives a function that waits for one with a certain field. */
export function inbox(from) {
  const messages = []
  from.on('message', message => messages.push(message))
  return async field => {
    const at = () => messages.findIndex(message => message[field] !== undefined)
    await eventually(() => at() >= 0, `a message with ${field}`, 10_000)
    return messages.splice(at(), 1)[0]
  }
}

export const program = name => fileURLToPath(new URL(`programs/${name}`, import.meta.url))

/** The warnings of this process from now on. */
export function warnings() {
  const seen = []
  const listener = warning => seen.push(warning)
  process.on('warning', listener)
  return { seen, stop: () => process.off('warning', listener) }
}
