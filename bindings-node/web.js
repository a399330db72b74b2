// Everything that answers a Request with a Response: Hono, Next.js route handlers, plain fetch servers.
import { describe } from './data.js'
import { SSEHubError, invalid, report } from './errors.js'
import { IterableStream } from './iterable.js'
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
  // Made for those who look at it; it aborts when the client leaves.
  const controller = new AbortController()
  if (typeof source === 'function') source = source({ signal: controller.signal })
  const isHub = isSubscription(source)
  if (!isHub && !isIterable(source)) throw wrongSource(source)
  if (request.method === 'HEAD') {
    discard(source)
    return new Response(null, head(settings))
  }
  const sink = new Sink()
  let forget = () => {}
  const streamOptions = {
    ...settings.forRequest(request),
    onEnd: () => forget(),
    abort: () => controller.abort(),
    mark: settings.once && request.method === 'GET',
  }
  let stream
  if (isHub) {
    try {
      stream = new HubStream(source, sink, streamOptions, position)
    } catch (error) {
      if (!isRefusal(error, true)) throw error
      return respond(refusal(accept, settings.refuse, { hub: source[INTERNAL].hub, error }))
    }
  } else {
    stream = new IterableStream(source, sink, streamOptions)
  }
  forget = watch(stream, undefined)
  const leave = () => {
    stream.leave()
    controller.abort()
  }
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
    if (this.#stream instanceof IterableStream) {
      this.#stream.run().catch(error => report('a stream failed', error))
    } else {
      this.#stream.start()
    }
    return undefined
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
