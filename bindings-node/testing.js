// For tests of applications: a real server on a port of its own, and one stream from it, read with deadlines.
import { once } from 'node:events'
import { createServer } from 'node:http'

import { describe } from './data.js'
import { SSEHubError, invalid } from './errors.js'
import { events } from './events.js'
import { checkKnown, readSeconds } from './options.js'

const DEFAULT_TIMEOUT = 5000

/**
 * Opens a stream: from an Express, Fastify or Koa app, a (req, res) handler, an http.Server, or anything with a `fetch` method,
 * as Hono apps have.
 */
export async function connect(app, path = '/', options = {}) {
  checkKnown(options, ['method', 'headers', 'body', 'timeout'], 'connect')
  const timeout = readSeconds(options.timeout, 'timeout') ?? DEFAULT_TIMEOUT
  const controller = new AbortController()
  const init = {
    method: options.method ?? 'GET',
    headers: { accept: 'text/event-stream', ...Object.fromEntries(new Headers(options.headers)) },
    body: options.body,
    signal: controller.signal,
    ...(options.body !== undefined && { duplex: 'half' }),
  }
  const { origin, request, stop } = await serve(app)
  try {
    const url = new URL(path, origin)
    const response = await within(timeout, request(url, init), 'the head of the response')
    return new Connection(response, controller, stop, timeout)
  } catch (error) {
    controller.abort()
    await stop()
    throw error
  }
}

async function serve(app) {
  // An Express app is a function; a Hono app has `fetch` and is none.
  if (typeof app !== 'function' && typeof app?.fetch === 'function') {
    return {
      origin: 'http://localhost',
      request: async (url, init) => app.fetch(new Request(url, init)),
      stop: async () => {},
    }
  }
  const server = await toServer(app)
  const ours = !server.listening
  if (ours) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  }
  const stop = async () => {
    if (!ours) return
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }
  return { origin: `http://127.0.0.1:${server.address().port}`, request: fetch, stop }
}

async function toServer(app) {
  if (typeof app === 'function') return createServer(app)
  if (typeof app?.routing === 'function') {
    await app.ready()
    return app.server.listening ? app.server : createServer(app.routing)
  }
  if (typeof app?.callback === 'function') return createServer(app.callback())
  if (typeof app?.listen === 'function' && typeof app.address === 'function') return app
  throw invalid(`connect() takes an app, a request handler or an http.Server, not ${describe(app)}`)
}

class Connection {
  status
  headers
  #response
  #events = undefined
  #controller
  #stop
  #timeout
  // A call of next() that had run out of time: its event is the next call's.
  #pending = undefined

  constructor(response, controller, stop, timeout) {
    this.status = response.status
    this.headers = response.headers
    this.#response = response
    this.#controller = controller
    this.#stop = stop
    this.#timeout = timeout
  }

  /** The next event; undefined when the stream has ended. */
  async next(options = {}) {
    checkKnown(options, ['timeout'], 'next')
    this.#events ??= events(this.#response)
    this.#pending ??= this.#events.next()
    const step = this.#pending
    const { value } = await within(readSeconds(options.timeout, 'timeout') ?? this.#timeout, step, 'the next event')
    this.#pending = undefined
    return value
  }

  get lastEventId() {
    return this.#events?.lastEventId ?? ''
  }

  get retry() {
    return this.#events?.retry ?? null
  }

  /** The body as text: of a response that is no stream. */
  text() {
    return within(this.#timeout, this.#response.text(), 'the end of the body')
  }

  async close() {
    this.#pending?.catch(() => {})
    this.#controller.abort()
    if (this.#events === undefined) await this.#response.body?.cancel().catch(() => {})
    else await this.#events.return().catch(() => {})
    await this.#stop()
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      const event = await this.next()
      if (event === undefined) return
      yield event
    }
  }

  [Symbol.asyncDispose]() {
    return this.close()
  }
}

async function within(milliseconds, promise, what) {
  let timer
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new SSEHubError(`${what} did not come within ${milliseconds / 1000} s`, 'ERR_SSEHUB_TIMEOUT'))
    }, milliseconds)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
