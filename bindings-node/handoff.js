// Taking the socket from under a response of node:http. This is the only place that knows how Node writes and ends
// one. It trusts nothing: what has reached the socket is compared with what was meant to, and only where each byte
// agrees is the socket given away. In every other case the response goes on as it began.
import { Socket } from 'node:net'
import { debuglog } from 'node:util'

import { HandoffError, report } from './errors.js'
import { takesSockets } from './native.js'

const log = debuglog('ssehub')

/** What was written must have left Node by then. */
const PATIENCE = 2000

const HEAD_END = Buffer.from('\r\n\r\n')

/** Why a stream stays in-loop, and what can be done about it. */
const REASONS = {
  tls: 'its connection is encrypted by Node: let a proxy in front do that',
  http2: 'its connection is HTTP/2: let a proxy in front speak HTTP/1.1 to Node',
  method: 'the body of its request has not been read: read it before answering',
  transport: 'there is no TCP or Unix socket of node:http under it: serve it by ssehub/express or ssehub/fastify',
  body: 'something rewrites or compresses its body: leave event streams out there',
  buffered: `what was written did not reach the network within ${PATIENCE / 1000} s, or other responses go before it`,
  descriptors: 'there are no more file descriptors: raise the limit (ulimit -n)',
  platform: 'the engine takes no sockets on this platform',
  error: 'taking its socket failed',
}

const logged = new Set()

/** Notes that a stream stays in-loop. Throws where that must not be. */
export function refuse(hub, reason, required, cause = undefined) {
  hub.native.refuseHandoff(reason)
  const text = `a stream is not handed to the engine (${reason}): ${REASONS[reason]}`
  if (required) throw new HandoffError(text, { cause })
  if (logged.has(reason)) return
  logged.add(reason)
  log(cause === undefined ? text : `${text}: ${cause}`)
}

/** Why the socket of a response that has not begun cannot be taken; undefined: nothing speaks against it. */
export function obstacle(req, res) {
  if (req.httpVersionMajor > 1) return 'http2'
  if (res.headersSent) return 'body'
  const { socket } = req
  if (socket?.encrypted === true) return 'tls'
  if (!takesSockets()) return 'platform'
  if (!(socket instanceof Socket) || socket.write !== Socket.prototype.write) return 'transport'
  if (!(socket._handle?.fd >= 0)) return 'transport'
  // A pipelined request: the response before it has the socket.
  return res.socket === socket ? undefined : 'buffered'
}

/** The move of one socket. It is made before the head is written, and sees all that is written from then on. */
export class Transfer {
  #req
  #res
  #socket
  // What should have been written, and what was.
  #payloads = []
  #written = []
  // Writes that the system has not taken yet.
  #pending = 0
  #then = undefined
  #timer = undefined

  constructor(req, res) {
    this.#req = req
    this.#res = res
    this.#socket = req.socket
    this.#socket.write = (data, encoding, callback) => this.#write(data, encoding, callback)
  }

  /** Notes what the stream sends. */
  expect(payload) {
    this.#payloads.push(payload)
  }

  #write(data, encoding, callback) {
    if (typeof encoding === 'function') [encoding, callback] = [undefined, encoding]
    this.#written.push(typeof data === 'string' ? Buffer.from(data, encoding) : data)
    this.#pending += 1
    return Socket.prototype.write.call(this.#socket, data, encoding, error => {
      this.#pending -= 1
      callback?.(error)
      this.#look()
    })
  }

  /** Calls `then(obstacle)` or `then(undefined, { fd, chunked, letGo })`, later, when it is known. */
  settle(then) {
    this.#then = then
    this.#timer = setTimeout(() => this.#decide('buffered'), PATIENCE).unref()
    // Not now: the request that is being answered may not be complete yet.
    process.nextTick(() => this.#look())
  }

  #look() {
    if (this.#then === undefined) return
    const written = Buffer.concat(this.#written)
    const end = written.indexOf(HEAD_END)
    if (end < 0) return
    const head = written.latin1Slice(0, end)
    if (/\r\ncontent-(length|encoding):/i.test(head)) return this.#decide('body')
    const chunked = /\r\ntransfer-encoding: *chunked(\r\n|$)/i.test(head)
    const body = written.subarray(end + HEAD_END.length)
    const expected = Buffer.concat(this.#payloads.map(payload => (chunked ? payload.chunk : payload.bytes)))
    if (!expected.subarray(0, body.length).equals(body)) return this.#decide('body')
    if (body.length < expected.length || this.#pending > 0 || this.#socket.writableLength > 0) return
    // What is left of it would be taken for input of a client that has nothing more to say.
    if (!this.#req.complete) return this.#decide('method')
    // Without a handle it is closed, and the stream is told of that.
    const fd = this.#socket._handle?.fd
    if (fd >= 0) this.#decide(undefined, { fd, chunked, letGo: () => this.#letGo() })
  }

  #decide(reason, lent) {
    const then = this.#then
    this.cancel()
    then(reason, lent)
  }

  /** Looks no longer. */
  cancel() {
    clearTimeout(this.#timer)
    this.#then = undefined
    delete this.#socket.write
  }

  /**
   * The engine has the socket: ends the response as if it had been sent. Loggers, hooks and spans see an ordinary end;
   * the connection sees nothing, neither a byte nor a shutdown, which would be the engine's end of it, too.
   */
  #letGo() {
    const socket = this.#socket
    socket.write = (_data, encoding, callback) => {
      const done = typeof encoding === 'function' ? encoding : callback
      if (done) process.nextTick(done)
      return true
    }
    // Closing the descriptor is no shutdown, while ending the stream is one.
    socket.end = socket.destroySoon = () => socket.destroy()
    this.#res.once('finish', () => socket.destroy())
    try {
      this.#res.end()
    } catch (error) {
      // Somebody else's: the stream is none of its business any more.
      report('the end of a response failed', error)
      socket.destroy()
    }
  }
}
