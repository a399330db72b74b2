// Express, Connect, Koa and node:http: streams over a ServerResponse.
import { Context } from './context.js'
import { describe } from './data.js'
import { invalid, report } from './errors.js'
import { ResponseSink, whenOver } from './response.js'
import {
  discard,
  isFinished,
  isIterable,
  isRefusal,
  openStream,
  positionOf,
  readServeOptions,
  refusal,
  wrongSource,
} from './serve.js'
import { isClosing } from './shutdown.js'
import { isSubscription } from './subscription.js'

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
  #context = new Context()
  #stream = undefined
  #gone = false

  constructor(req, res, next, settings) {
    this.#req = req
    this.#res = res
    this.#next = next
    this.#settings = settings
    whenOver(req, res, () => this.#leave())
  }

  run(handler) {
    const { once, refuse } = this.#settings
    const server = this.#req.socket?.server
    if (isClosing(server)) return this.#answer(refusal(this.#req.headers.accept, refuse))
    if (isFinished(this.#req.method, this.#position(), once)) {
      return this.#answer({ status: 204, headers: [['Cache-Control', 'no-store']] })
    }
    try {
      const source = handler(this.#req, this.#res, this.#context)
      if (typeof source?.then !== 'function') return this.#serve(source)
      Promise.resolve(source)
        .then(result => this.#serve(result))
        .catch(error => this.#fail(error))
    } catch (error) {
      this.#fail(error)
    }
    return undefined
  }

  #position() {
    const { headers, url } = this.#req
    return positionOf(headers['last-event-id'], url)
  }

  #leave() {
    if (this.#gone) return
    this.#gone = true
    if (this.#stream === undefined) Context.abort(this.#context)
    else this.#stream.leave()
  }

  #serve(source) {
    const res = this.#res
    if (res.headersSent || res.writableEnded) return discard(source)
    if (this.#gone) return discard(source)
    if (!isSubscription(source) && !isIterable(source)) throw wrongSource(source)
    const sink = new ResponseSink(this.#req, res, this.#settings)
    if (this.#req.method === 'HEAD') {
      discard(source)
      sink.head()
      return res.end()
    }
    const { stream, answer } = openStream(source, sink, this.#settings, {
      request: this.#req,
      method: this.#req.method,
      accept: this.#req.headers.accept,
      position: this.#position(),
      server: this.#req.socket?.server,
      context: this.#context,
    })
    if (answer !== undefined) return this.#answer(answer)
    this.#stream = stream
    sink.carry(stream)
    stream.run().catch(error => this.#fail(error))
    return undefined
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
