// Express, Connect, Koa and node:http: streams over a ServerResponse.
import { ServerResponse } from 'node:http'
import { constants } from 'node:http2'

import { describe } from './data.js'
import { invalid, report } from './errors.js'
import { IterableStream } from './iterable.js'
import { LAST_CHUNK } from './payload.js'
import {
  HEAD,
  discard,
  isFinished,
  isIterable,
  isRefusal,
  positionOf,
  readServeOptions,
  refusal,
  wrongSource,
} from './serve.js'
import { isClosing, watch } from './shutdown.js'
import { HubStream } from './stream.js'
import { INTERNAL, isSubscription } from './subscription.js'

/** A request handler that answers with a stream. */
export function sse(handler, options = {}) {
  if (typeof handler !== 'function') {
    throw invalid(`sse() takes a function (req, res, { signal }) that returns a source, not ${describe(handler)}`)
  }
  const settings = readServeOptions(options, 'sse')
  return function ssehub(req, res, next) {
    new Exchange(req, res, next, settings).run(handler)
  }
}

// One request and its answer.
class Exchange {
  #req
  #res
  #next
  #settings
  #controller = undefined
  #stream = undefined
  #gone = false

  constructor(req, res, next, settings) {
    this.#req = req
    this.#res = res
    this.#next = next
    this.#settings = settings
    // Not the request's "close": it comes when the body has been read.
    res.once('close', () => this.#leave())
    if (res.destroyed || res.closed) this.#leave()
  }

  run(handler) {
    const { once, refuse } = this.#settings
    const server = this.#req.socket?.server
    if (isClosing(server)) return this.#answer(refusal(this.#req.headers.accept, refuse))
    if (isFinished(this.#req.method, this.#position(), once)) {
      return this.#answer({ status: 204, headers: [['Cache-Control', 'no-store']] })
    }
    try {
      const source = handler(this.#req, this.#res, this.#context())
      if (typeof source?.then !== 'function') return this.#serve(source)
      Promise.resolve(source)
        .then(result => this.#serve(result))
        .catch(error => this.#fail(error))
    } catch (error) {
      this.#fail(error)
    }
    return undefined
  }

  // The signal is made for those who look at it.
  #context() {
    const signal = () => {
      if (this.#controller === undefined) {
        this.#controller = new AbortController()
        if (this.#gone) this.#controller.abort()
      }
      return this.#controller.signal
    }
    return {
      get signal() {
        return signal()
      },
    }
  }

  #position() {
    const { headers, url } = this.#req
    return positionOf(headers['last-event-id'], url)
  }

  #leave() {
    if (this.#gone) return
    this.#gone = true
    this.#stream?.leave()
    this.#controller?.abort()
  }

  #serve(source) {
    const res = this.#res
    if (res.headersSent || res.writableEnded) return discard(source)
    if (this.#gone) return discard(source)
    const isHub = isSubscription(source)
    if (!isHub && !isIterable(source)) throw wrongSource(source)
    const sink = new Sink(this.#req, res, this.#settings)
    if (this.#req.method === 'HEAD') {
      discard(source)
      sink.head()
      return res.end()
    }
    const options = this.#settings.forRequest(this.#req)
    return isHub ? this.#serveHub(source, sink, options) : this.#serveIterable(source, sink, options)
  }

  #serveHub(subscription, sink, options) {
    let forget = () => {}
    options.onEnd = () => forget()
    try {
      this.#stream = new HubStream(subscription, sink, options, this.#position())
    } catch (error) {
      if (!isRefusal(error, true)) throw error
      return this.#answer(refusal(this.#req.headers.accept, options.refuse, { hub: subscription[INTERNAL].hub, error }))
    }
    forget = watch(this.#stream, this.#req.socket?.server)
    try {
      sink.head()
      sink.carry(this.#stream)
      return this.#stream.start()
    } catch (error) {
      this.#stream.leave('error')
      throw error
    }
  }

  #serveIterable(source, sink, options) {
    let forget = () => {}
    options.onEnd = () => forget()
    options.abort = () => this.#controller?.abort()
    options.mark = options.once && this.#req.method === 'GET'
    this.#stream = new IterableStream(source, sink, options)
    forget = watch(this.#stream, this.#req.socket?.server)
    sink.carry(this.#stream)
    this.#stream.run().catch(error => this.#fail(error))
  }

  #fail(error) {
    if (this.#gone) return report('a handler failed after its client had left', error)
    if (isRefusal(error, false) && !this.#res.headersSent) {
      return this.#answer(refusal(this.#req.headers.accept, this.#settings.refuse))
    }
    if (typeof this.#next === 'function') return this.#next(error)
    report('a handler failed', error)
    if (this.#res.headersSent) return this.#res.destroy()
    return this.#answer({ status: 500, headers: [['Content-Type', 'text/plain']], body: 'Internal Server Error\n' })
  }

  #answer({ status, headers, body }) {
    this.#res.statusCode = status
    for (const [name, value] of headers) this.#res.setHeader(name, value)
    this.#res.end(body)
  }
}

// A ServerResponse as the sink of a stream.
class Sink {
  // Errors before the head go to the framework.
  canFail = true
  #req
  #res
  #settings
  // Where this writes the socket itself: see `#takeOver`.
  #socket = undefined

  constructor(req, res, settings) {
    this.#req = req
    this.#res = res
    this.#settings = settings
  }

  /** Headers that others have set survive, but for those that a stream cannot have. */
  head() {
    const res = this.#res
    if (res.headersSent) return
    res.statusCode = this.#settings.status
    res.removeHeader('Content-Length')
    for (const [name, value] of HEAD) res.setHeader(name, value)
    for (const [name, value] of this.#settings.headers) {
      if (name === 'set-cookie') res.appendHeader(name, value)
      else res.setHeader(name, value)
    }
    const socket = this.#req.socket
    // HTTP/2 lends no socket to play with.
    if (this.#req.httpVersionMajor < 2) {
      socket?.setNoDelay?.(true)
      res.setTimeout(0)
    }
    res.flushHeaders()
    this.#takeOver()
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
  }

  carry(stream) {
    const resume = () => stream.resume()
    const { socket } = this.#res
    if (this.#socket === undefined) {
      this.#res.on('drain', resume)
    } else {
      socket.on('drain', resume)
      // The connection may serve other requests after this one.
      this.#res.once('close', () => socket.off('drain', resume))
    }
    // A write to a client that has just left: "close" tells of it.
    this.#res.on('error', () => {})
  }

  write(payload) {
    if (this.#socket !== undefined) {
      // Ended: the client has closed its side, and "close" is on its way.
      return this.#socket.writable && this.#socket.write(payload.chunk)
    }
    // Some middleware returns nothing here.
    return this.#res.write(payload.bytes) !== false
  }

  end(last, leaving) {
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
