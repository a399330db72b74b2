// A ServerResponse as the sink of a stream: see stream.js.
import { ServerResponse } from 'node:http'
import { constants } from 'node:http2'

import { Transfer, obstacle } from './handoff.js'
import { LAST_CHUNK } from './payload.js'
import { HEAD } from './serve.js'

/** Calls `then` when a response is over, for whatever reason. */
export function whenOver(req, res, then) {
  // Not the request's "close": it comes when the body has been read.
  res.once('close', then)
  // A pipelined one, which waits for others, is not told when its connection goes.
  const { socket } = req
  if (res.socket === null && socket) {
    socket.once('close', then)
    res.once('close', () => socket.off('close', then))
  }
  if (res.destroyed || res.closed) then()
}

export class ResponseSink {
  // Errors before the head go to the framework.
  canFail = true
  #req
  #res
  #settings
  // Where this writes the socket itself: see `#takeOver`.
  #socket = undefined
  #resume = () => {}
  // Where the socket may go to the engine.
  #transfer = undefined

  constructor(req, res, settings) {
    this.#req = req
    this.#res = res
    this.#settings = settings
  }

  /** Why the socket cannot go to the engine. */
  obstacle() {
    return obstacle(this.#req, this.#res)
  }

  /** Headers that others have set survive, but for those that a stream cannot have. `handoff`: what is intended. */
  head(handoff = undefined) {
    const res = this.#res
    if (res.headersSent) return
    this.setHeaders()
    const socket = this.#req.socket
    // HTTP/2 lends no socket to play with.
    if (this.#req.httpVersionMajor < 2) {
      socket?.setNoDelay?.(true)
      res.setTimeout(0)
    }
    if (handoff !== undefined) {
      // Node will not serve another request here.
      if (handoff !== 'hold') res.setHeader('Connection', 'close')
      this.#transfer = new Transfer(this.#req, res)
    }
    res.flushHeaders()
    this.#takeOver()
  }

  setHeaders() {
    const res = this.#res
    res.statusCode = this.#settings.status
    res.removeHeader('Content-Length')
    for (const [name, value] of HEAD) res.setHeader(name, value)
    for (const [name, value] of this.#settings.headers) {
      if (name === 'set-cookie') res.appendHeader(name, value)
      else res.setHeader(name, value)
    }
  }

  // `res.write` would code each chunk anew for each client, and cork and uncork its socket: half of what a delivery
  // costs beside the system call. Chunks are the same for all clients, so they are made once, and go to the socket.
  // `res` is told that it has nothing to code, and ends the exchange as ever. Only where the head is out, the socket is
  // this response's, and nobody else has a hand in writing.
  #takeOver() {
    const res = this.#res
    const plain =
      res.chunkedEncoding === true &&
      this.#req.httpVersionMajor === 1 &&
      res.write === ServerResponse.prototype.write
    const { socket } = res
    if (!plain || socket === null || socket !== this.#req.socket || res.writableCorked > 0) return
    res.chunkedEncoding = false
    this.#socket = socket
    const resume = this.#resume
    socket.on('drain', resume)
    // The connection may serve other requests after this one.
    res.once('close', () => socket.off('drain', resume))
  }

  /** Comes before `head`. */
  carry(stream) {
    this.#resume = () => stream.resume()
    this.#res.on('drain', this.#resume)
    // A write to a client that has just left: "close" tells of it.
    this.#res.on('error', () => {})
  }

  write(payload) {
    this.#transfer?.expect(payload)
    if (this.#socket !== undefined) {
      // Ended: the client has closed its side, and "close" is on its way.
      return this.#socket.writable && this.#socket.write(payload.chunk)
    }
    const ready = this.#res.write(payload.bytes)
    // What compresses keeps events back until it is told not to.
    if (Object.hasOwn(this.#res, 'flush')) this.#res.flush()
    // Some middleware returns nothing here.
    return ready !== false
  }

  /** Calls `then(obstacle)` or `then(undefined, { fd, chunked, letGo })` when all that was written has left. */
  lend(then) {
    const transfer = this.#transfer
    this.#transfer = undefined
    transfer.settle(then)
  }

  #keep() {
    this.#transfer?.cancel()
    this.#transfer = undefined
  }

  end(last, leaving) {
    this.#keep()
    const res = this.#res
    const { socket } = this.#req
    if (leaving) {
      // An idle connection would hold up the server's end.
      if (this.#req.httpVersionMajor < 2) res.once('finish', () => socket?.destroySoon?.())
      else res.stream.session?.close()
    }
    if (last !== null) this.write(last)
    if (this.#socket?.writable) this.#socket.write(LAST_CHUNK)
    res.end()
    this.#mustEnd()
  }

  cut(last) {
    this.#keep()
    if (last === null) return this.#destroy()
    this.#res.write(this.#socket === undefined ? last.bytes : last.chunk, () => this.#destroy())
    return this.#mustEnd()
  }

  // HTTP/2 would take a mere destroy() for a proper end.
  #destroy() {
    if (this.#req.httpVersionMajor < 2) this.#res.destroy()
    else this.#res.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  }

  /** A client that does not take even the end is not waited for. */
  #mustEnd() {
    const timer = setTimeout(() => this.#res.destroy(), 5000).unref()
    this.#res.once('close', () => clearTimeout(timer))
  }
}
