// Everything that answers a Request with a Response: Hono, Next.js route handlers, plain fetch servers.
import { Context } from './context.js'
import { describe } from './data.js'
import { SSEHubError, invalid, report } from './errors.js'
import { refuse } from './handoff.js'
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
import { INTERNAL, isSubscription } from './subscription.js'

/** A Response whose body is the stream of a source: a Subscription, an iterable, or a function that makes one. */
export function toResponse(request, source, options = {}) {
  if (typeof request?.headers?.get !== 'function' || typeof request.url !== 'string') {
    throw invalid(`toResponse() takes the Request that it answers, not ${describe(request)}`)
  }
  const settings = readServeOptions(options, 'toResponse')
  const accept = request.headers.get('accept')
  const position = positionOf(request.headers.get('last-event-id'), request.url)
  if (isClosing(undefined)) return respond(refusal(accept, settings.refuse))
  if (isFinished(request.method, position, settings.once)) {
    if (typeof source !== 'function') discard(source)
    return new Response(null, { status: 204, headers: { 'Cache-Control': 'no-store' } })
  }
  const context = new Context()
  if (typeof source === 'function') source = source(context)
  if (!isSubscription(source) && !isIterable(source)) throw wrongSource(source)
  const { method } = request
  if (method === 'HEAD') {
    discard(source)
    return new Response(null, head(settings))
  }
  // While it can still be thrown.
  if (settings.handoff === 'require' && isSubscription(source)) refuse(source[INTERNAL].hub, 'transport', true)
  const sink = new Sink()
  const { stream, answer } = openStream(source, sink, settings, { request, method, accept, position, context })
  if (answer !== undefined) return respond(answer)
  const leave = () => stream.leave()
  sink.carry(stream, leave)
  if (request.signal?.aborted) leave()
  else request.signal?.addEventListener('abort', leave, { once: true })
  return new Response(sink.body, head(settings))
}

function head(settings) {
  const headers = new Headers(HEAD)
  for (const [name, value] of settings.headers) {
    if (name === 'set-cookie') headers.append(name, value)
    else headers.set(name, value)
  }
  return { status: settings.status, headers }
}

const respond = ({ status, headers, body }) => new Response(body, { status, headers })

// A ReadableStream as the sink of a stream: one delivery per read, none ahead of it.
class Sink {
  body
  // The head is the host's, and it is on its way when the body is first read.
  canFail = false
  #controller
  #stream
  #started = false
  #failure = undefined

  carry(stream, leave) {
    this.#stream = stream
    this.body = new ReadableStream(
      {
        start: controller => {
          this.#controller = controller
        },
        pull: () => this.#pull(),
        cancel: leave,
      },
      { highWaterMark: 0 },
    )
  }

  // Starting with the first read: a Response that nobody reads runs no source.
  #pull() {
    if (this.#failure !== undefined) return this.#controller.error(this.#failure)
    if (this.#started) return this.#stream.resume()
    this.#started = true
    this.#stream.run().catch(error => this.#fail(error))
    return undefined
  }

  #fail(error) {
    report('a stream failed', error)
    this.#controller.error(error)
  }

  /** A Response has no socket that could be found. */
  obstacle() {
    return 'transport'
  }

  head() {}

  write(payload) {
    // A copy: the bytes are shared by all streams, and a consumer may transfer what it reads.
    this.#controller.enqueue(new Uint8Array(payload.bytes))
    return this.#controller.desiredSize > 0
  }

  end(last) {
    if (last !== null) this.write(last)
    this.#controller.close()
  }

  cut(last) {
    const error = new SSEHubError('the stream was cut', 'ERR_SSEHUB_CUT')
    if (last === null) return this.#controller.error(error)
    // An error drops what is queued: it comes with the read after the last bytes.
    this.write(last)
    this.#failure = error
    return undefined
  }
}
