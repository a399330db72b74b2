// For the tests of EventSource: servers that do exactly what a script says, and a record of what a source tells.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { EventSource } from 'ssehub'

import { eventually, within } from './helpers.js'

/** The head of a stream whose body ends with the connection. */
export const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n'

/** A whole response with a body of known length: a stream that ends in an orderly way. */
export const stream = (body, headers = '') => whole(200, body, `Content-Type: text/event-stream\r\n${headers}`)

/** A whole response. */
export function whole(status, body = '', headers = '') {
  const bytes = Buffer.from(body)
  const head = `HTTP/1.1 ${status} As Asked\r\n${headers}Content-Length: ${bytes.length}\r\nConnection: close\r\n\r\n`
  return Buffer.concat([Buffer.from(head), bytes])
}

/**
 * A server without any knowledge of HTTP but where a request ends. Each request is answered by the next of `answers`,
 * the last one again and again: bytes to write, after which the connection ends; or a function of the exchange.
 */
export async function scripted(answers, use, serve = createServer) {
  const exchanges = []
  const sockets = new Set()
  const server = serve(socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    let text = ''
    socket.on('data', chunk => {
      text += chunk.toString('latin1')
      const request = parse(text)
      if (request === undefined) return
      text = ''
      const exchange = { ...request, socket, at: performance.now(), index: exchanges.length, write: data => socket.write(data) }
      const answer = answers[Math.min(exchanges.length, answers.length - 1)]
      exchanges.push(exchange)
      if (typeof answer === 'function') answer(exchange)
      else socket.end(answer)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  const requests = count => eventually(() => exchanges.length >= count, `${count} requests`).then(() => exchanges)
  try {
    return await use({ url: `http://127.0.0.1:${port}/stream`, port, exchanges, requests, sockets })
  } finally {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => { server.close(resolve) })
  }
}

function parse(text) {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const [line, ...fields] = text.slice(0, end).split('\r\n')
  const [method, path] = line.split(' ')
  const headers = {}
  for (const field of fields) {
    const colon = field.indexOf(':')
    const name = field.slice(0, colon).toLowerCase()
    const value = field.slice(colon + 1).trim()
    headers[name] = name in headers ? `${headers[name]}, ${value}` : value
  }
  const body = text.slice(end + 4)
  return body.length < Number(headers['content-length'] ?? 0) ? undefined : { method, path, headers, body }
}

/** A source, and all that it tells, in order: closed at the end of `use`. */
export async function told(url, options, use, types = []) {
  const source = new EventSource(url, options)
  const log = []
  const note = event => {
    if (event.type === 'open') log.push({ type: 'open' })
    else if (event.type === 'error' && !('data' in event)) log.push({ type: 'error', state: source.readyState, event })
    else log.push({ type: event.type, data: event.data, id: event.lastEventId })
  }
  for (const type of ['open', 'message', 'error', ...types]) source.addEventListener(type, note)
  const find = type => log.filter(entry => entry.type === type)
  const record = {
    source,
    log,
    find,
    get messages() {
      return find('message').map(entry => entry.data)
    },
    get errors() {
      return find('error').map(entry => entry.event)
    },
    until: (test, what = 'what was waited for') => eventually(() => test(record), `${what}; got ${JSON.stringify(log)}`),
    /** The source is closed; with what. */
    end: () => within(5000, source.closed, `the end; got ${JSON.stringify(log)}`),
  }
  try {
    return await use(record)
  } finally {
    source.close()
  }
}

/** All events of a source, read by a loop. */
export async function collect(source) {
  const events = []
  for await (const event of source) events.push(event)
  return events
}

/** A certificate authority, and what it signed for a server on this machine and for a client: PEM. */
export function certificates() {
  const folder = mkdtempSync(join(tmpdir(), 'ssehub-'))
  const file = name => join(folder, name)
  const openssl = line => execFileSync('openssl', line.split(' '), { cwd: folder, stdio: 'ignore' })
  const key = 'req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
  try {
    openssl(`${key} -x509 -days 2 -subj /CN=authority -keyout ca.key -out ca.pem`)
    for (const name of ['server', 'client']) {
      openssl(`${key} -subj /CN=${name} -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout ${name}.key -out ${name}.csr`)
      openssl(`x509 -req -in ${name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -copy_extensions copy -out ${name}.pem`)
    }
    const read = name => readFileSync(file(name), 'utf8')
    const pair = name => ({ cert: read(`${name}.pem`), key: read(`${name}.key`) })
    return { ca: read('ca.pem'), server: pair('server'), client: pair('client') }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
