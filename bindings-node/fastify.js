// Fastify: `app.register(ssehub)`, then `reply.sse(source, options)`.
//
// A stream is sent like any other payload, so all hooks run: headers and cookies of onSend go out, too. Where Fastify
// pipes it into the response itself, it writes there directly, and its socket may go to the engine. Where a hook has put
// something in between, it is an ordinary Readable.
import { Readable } from 'node:stream'

import { Context } from './context.js'
import { SSEHubError, report } from './errors.js'
import { ResponseSink, whenOver } from './response.js'
import {
  HEAD,
  discard,
  isFinished,
  isIterable,
  openStream,
  positionOf,
  readServeOptions,
  refusal,
  wrongSource,
} from './serve.js'
import { isClosing } from './shutdown.js'
import { isSubscription } from './subscription.js'

/** The plugin. */
export default function ssehub(fastify, _options, done) {
  fastify.decorateReply('sse', sse)
  done()
}

// What fastify-plugin does: the decorator is for the whole app, not for what is registered beside it.
ssehub[Symbol.for('skip-override')] = true
ssehub[Symbol.for('fastify.display-name')] = 'ssehub'
ssehub[Symbol.for('plugin-meta')] = { name: 'ssehub', fastify: '5.x' }

/** Answers with the stream of a source: a Subscription, an iterable, or a function that makes one. `this`: the reply. */
function sse(source, options = {}) {
  const settings = readServeOptions(options, 'reply.sse')
  const { request, raw } = this
  const { method, headers, socket, url } = request.raw
  const position = positionOf(headers['last-event-id'], url)
  if (isClosing(socket?.server)) return answer(this, refusal(headers.accept, settings.refuse))
  if (isFinished(method, position, settings.once)) {
    if (typeof source !== 'function') discard(source)
    return answer(this, { status: 204, headers: [['Cache-Control', 'no-store']] })
  }
  const context = new Context()
  if (typeof source === 'function') source = source(context)
  if (!isSubscription(source) && !isIterable(source)) throw wrongSource(source)
  const streamHeaders = [...HEAD, ...settings.headers]
  const body = new Body(this, streamHeaders.map(([name]) => name))
  const sink = new ReplySink(this, body, settings)
  const exchange = { request, method, accept: headers.accept, position, server: socket?.server, context }
  let stream
  if (method === 'HEAD') {
    discard(source)
  } else {
    const opened = openStream(source, sink, settings, exchange)
    if (opened.answer !== undefined) return answer(this, opened.answer)
    stream = opened.stream
    body.carry(stream)
    sink.carry(stream)
    whenOver(request.raw, raw, () => stream.leave())
  }
  if (options.status !== undefined) this.code(options.status)
  this.removeHeader('content-length')
  for (const [name, value] of streamHeaders) this.header(name, value)
  // @fastify/compress looks for this. It would keep events back until there is enough to compress.
  if (typeof this.compress === 'function') request.headers = { ...request.headers, 'x-no-compression': 'true' }
  return this.send(stream === undefined ? Readable.from([]) : body)
}

function answer(reply, { status, headers, body }) {
  return reply.code(status).headers(Object.fromEntries(headers)).send(body)
}

// What Fastify sees of a stream.
class Body extends Readable {
  /** Somebody reads it: it is not written to the response directly. */
  piped = false
  #reply
  #headers
  #stream = undefined
  #running = false

  constructor(reply, headers) {
    super()
    this.#reply = reply
    this.#headers = headers
  }

  carry(stream) {
    this.#stream = stream
  }

  pipe(target, options) {
    // Who ends the response otherwise, has something to add to it.
    if (target !== this.#reply.raw || options?.end === false || this.#running) return super.pipe(target, options)
    this.#run()
    return target
  }

  _read() {
    if (this.#running) {
      if (this.piped) this.#stream.resume()
      return
    }
    this.piped = true
    this.#run()
  }

  _destroy(error, done) {
    this.#stream.leave()
    done(error)
  }

  /** Comes to its end, then goes on: Fastify takes a response that ends before its payload for one that was cut. */
  finish(then) {
    this.once('close', then)
    this.push(null)
    this.resume()
  }

  #run() {
    this.#running = true
    this.#stream.run().catch(error => {
      // The answer is the error handler's, and no stream.
      for (const name of this.#headers) {
        this.#reply.removeHeader(name)
        if (!this.#reply.raw.headersSent) this.#reply.raw.removeHeader(name)
      }
      this.fail(error)
    })
  }

  fail(error) {
    if (this.listenerCount('error') > 0) return this.destroy(error)
    // A hook that merely pipes it on would let the client wait for ever.
    report('a stream failed', error)
    this.destroy()
    return this.#reply.raw.destroy()
  }
}

class ReplySink extends ResponseSink {
  #body

  constructor(reply, body, settings) {
    super(reply.request.raw, reply.raw, settings)
    this.#body = body
  }

  obstacle() {
    return this.#body.piped ? 'body' : super.obstacle()
  }

  head(handoff) {
    if (!this.#body.piped) super.head(handoff)
  }

  /** Fastify has set what the hooks have left of them. */
  setHeaders() {}

  write(payload) {
    return this.#body.piped ? this.#body.push(payload.bytes) : super.write(payload)
  }

  lend(then) {
    super.lend((reason, socket) => {
      then(reason, socket && { ...socket, letGo: () => this.#body.finish(socket.letGo) })
    })
  }

  end(last, leaving) {
    if (!this.#body.piped) return this.#body.finish(() => super.end(last, leaving))
    if (last !== null) this.#body.push(last.bytes)
    return this.#body.push(null)
  }

  cut(last) {
    if (!this.#body.piped) return super.cut(last)
    if (last !== null) this.#body.push(last.bytes)
    return this.#body.fail(new SSEHubError('the stream was cut', 'ERR_SSEHUB_CUT'))
  }
}
