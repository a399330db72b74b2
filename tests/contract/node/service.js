// The Node client as a test service of sse-contract-tests: see ../driver.py.
//
//   node tests/contract/node/service.js [--port 8001] [--host 127.0.0.1] [--loop]
//
// Each client has listeners; with --loop it is a `for await`.
import { createServer, request } from 'node:http'
import { parseArgs } from 'node:util'

import { EventSource, version } from 'ssehub'

const { values: given } = parseArgs({
  options: {
    port: { type: 'string', default: '8001' },
    host: { type: 'string', default: '127.0.0.1' },
    loop: { type: 'boolean', default: false },
  },
})

const CAPABILITIES = [
  '204',
  'bom',
  'comments',
  'headers',
  'last-event-id',
  'post',
  'read-timeout',
  'report',
  'restart',
  'server-directed-shutdown-request',
]
// A loop gets events of all types.
if (!given.loop) CAPABILITIES.push('event-type-listeners')

/** One client, and where it tells what it sees. */
class Client {
  #callbackUrl
  #messages = 0
  #listened = new Set()
  #source

  constructor(wanted) {
    this.#callbackUrl = wanted.callbackUrl
    const delay = wanted.initialDelayMs
    this.#source = new EventSource(wanted.streamUrl, {
      method: wanted.method,
      headers: wanted.headers,
      body: wanted.body === undefined ? undefined : Buffer.from(wanted.body),
      lastEventId: wanted.lastEventId,
      // What is asked for here is asked for explicitly: the harness expects it of POST, too.
      reconnect: delay === undefined ? true : { when: 'always', delay: Math.max(delay, 1) / 1000 },
      onComment: comment => this.#send({ kind: 'comment', comment }),
      timeout: wanted.readTimeoutMs === undefined ? undefined : wanted.readTimeoutMs / 1000,
    })
    this.#source.addEventListener('error', event => this.#failed(event))
    if (given.loop) this.#read()
    else this.listen('message')
  }

  listen(type) {
    if (given.loop || this.#listened.has(type)) return
    this.#listened.add(type)
    this.#source.addEventListener(type, ({ data, lastEventId }) => {
      // An event of the stream may be of the type of one of ours.
      if (data !== undefined) this.#got({ type, data, id: lastEventId })
    })
  }

  restart() {
    this.#source.restart()
  }

  close() {
    this.#source.close()
  }

  async #read() {
    try {
      for await (const { event: type, data, id } of this.#source) this.#got({ type, data, id })
    } catch {
      // The listener for errors has told.
    }
  }

  #got(event) {
    this.#send({ kind: 'event', event })
  }

  #failed({ error, message }) {
    // An orderly end is part of a stream's life.
    if (error !== undefined && error.kind !== 'ended') this.#send({ kind: 'error', error: message, comment: message })
  }

  #send(message) {
    const post = request(`${this.#callbackUrl}/${(this.#messages += 1)}`, { method: 'POST' })
    // The driver may have what it wanted, and be gone.
    post.on('error', () => {})
    post.on('response', response => response.resume())
    post.end(JSON.stringify(message))
  }
}

const clients = new Map()
let made = 0

const routes = {
  'GET /': () => ({ json: { name: 'ssehub-node', clientVersion: version, capabilities: CAPABILITIES } }),

  'POST /'(wanted) {
    const name = `/clients/${(made += 1)}`
    clients.set(name, new Client(wanted))
    return { status: 201, headers: { location: name } }
  },

  'DELETE /'() {
    for (const client of clients.values()) client.close()
    server.close()
    return { status: 204, headers: { connection: 'close' } }
  },

  'POST client'({ command, listen }, name) {
    const client = clients.get(name)
    if (client === undefined) return { status: 404 }
    if (command === 'restart') client.restart()
    else if (command === 'listen') client.listen(listen.type)
    else return { status: 400 }
    return { status: 202 }
  },

  'DELETE client'(_body, name) {
    clients.get(name)?.close()
    return { status: clients.delete(name) ? 204 : 404 }
  },
}

async function answer(req) {
  let text = ''
  for await (const piece of req.setEncoding('utf8')) text += piece
  const route = routes[`${req.method} ${req.url === '/' ? '/' : 'client'}`]
  if (route === undefined) return { status: 404 }
  try {
    return route(text === '' ? undefined : JSON.parse(text), req.url)
  } catch (error) {
    return { status: 400, json: { error: String(error) } }
  }
}

const server = createServer(async (req, res) => {
  const { status = 200, headers = {}, json } = await answer(req)
  res.writeHead(status, { 'content-type': 'application/json', ...headers })
  res.end(json === undefined ? undefined : JSON.stringify(json))
})
server.listen(Number(given.port), given.host)
