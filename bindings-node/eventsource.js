// EventSource: the interface of the WHATWG standard, and an async iterable.
import { AsyncResource } from 'node:async_hooks'

import { EventSourceError } from './eventsource-errors.js'
import { ENDS, ErrorEvent, MessageEvent } from './eventsource-events.js'
import { Loop, resolvers } from './eventsource-loop.js'
import { readSourceOptions, readUrl } from './eventsource-options.js'
import { readSignal } from './options.js'
import { GAP, Source } from './sources.js'

const CONNECTING = 0
const OPEN = 1
const CLOSED = 2

// Batches, of up to 64 KiB each, between which nothing else gets a turn.
const AT_ONCE = 4

/** The standard's interface, and more. */
export class EventSource extends EventTarget {
  #url
  #withCredentials
  #readyState = CONNECTING
  #finished = false
  #response = undefined
  #origin

  // While it is not closed.
  #source = undefined
  #functions
  #onReady
  // Events (or a comment) that were taken and not yet told, and the next of them.
  #events = []
  #at = 0
  #lastEventId

  // The types that anybody ever listened for: nobody makes an event for the others.
  #types = new Set()
  #handlers = new Map()
  // From the first loop on, events come when the loop asks for them.
  #iterated = false
  // Calls of next() that wait, oldest first.
  #waiting = []
  #pumping = false
  #taken = 0
  #resting = false

  // What ended it, and whether a loop has been told.
  #error = undefined
  #thrown = undefined
  #closed = resolvers()
  #signal
  #onAbort = () => this.#abort()

  constructor(url, options = {}) {
    super()
    if (arguments.length === 0) throw new TypeError('EventSource needs the URL of a stream')
    this.#url = readUrl(url)
    options ??= {}
    const { settings, functions } = readSourceOptions(this.#url.href, options)
    this.#withCredentials = Boolean(options.withCredentials)
    this.#signal = readSignal(options.signal)
    this.#functions = functions
    this.#origin = this.#url.origin
    this.#lastEventId = settings.lastEventId ?? ''
    // Listeners run in the context that the source was made in.
    this.#onReady = AsyncResource.bind(() => this.#pump(), 'EventSource')
    if (this.#signal?.aborted) {
      this.#abort()
      return
    }
    this.#source = new Source(settings, functions, this.#onReady)
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  get url() {
    return this.#url.href
  }

  get withCredentials() {
    return this.#withCredentials
  }

  get readyState() {
    return this.#readyState
  }

  /** Of the newest event that was told. */
  get lastEventId() {
    // Where all is told, a block without data may have set another.
    if (this.#source !== undefined && this.#at >= this.#events.length) {
      this.#lastEventId = this.#source.lastEventId
    }
    return this.#lastEventId
  }

  /** Whether the stream said that it is complete. */
  get finished() {
    return this.#finished
  }

  /** The head of the stream that is open, or was last. */
  get response() {
    return this.#response
  }

  /** When it is closed, by whomever; with the error that closed it. */
  get closed() {
    return this.#closed.promise
  }

  close() {
    this.#close()
  }

  /** A new connection, now. */
  restart() {
    this.#source?.restart()
  }

  get onopen() {
    return this.#handler('open')
  }

  set onopen(listener) {
    this.#handle('open', listener)
  }

  get onmessage() {
    return this.#handler('message')
  }

  set onmessage(listener) {
    this.#handle('message', listener)
  }

  get onerror() {
    return this.#handler('error')
  }

  set onerror(listener) {
    this.#handle('error', listener)
  }

  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options)
    if (listener == null) return
    // Whoever listens is told from the next turn on what was kept so far.
    if (this.#types.size === 0) queueMicrotask(this.#onReady)
    this.#types.add(String(type))
  }

  [Symbol.asyncIterator]() {
    this.#iterated = true
    return new Loop(() => this.#next(), () => this.#close())
  }

  [Symbol.dispose]() {
    this.#close()
  }

  async [Symbol.asyncDispose]() {
    this.#close()
  }

  #handler(type) {
    return this.#handlers.get(type)?.listener ?? null
  }

  // As the standard has it: any object is kept and shown, and called if it can be. Everything else is null.
  #handle(type, listener) {
    const known = this.#handlers.get(type)
    if (typeof listener !== 'function' && (typeof listener !== 'object' || listener === null)) {
      if (known !== undefined) this.removeEventListener(type, known.handle)
      this.#handlers.delete(type)
    } else if (known !== undefined) {
      // It keeps its place among the listeners.
      known.listener = listener
    } else {
      const handle = event => typeof handler.listener === 'function' ? handler.listener.call(this, event) : undefined
      const handler = { listener, handle }
      this.#handlers.set(type, handler)
      this.addEventListener(type, handler.handle)
    }
  }

  // Takes what has come and tells it: to listeners at once, to a loop as it asks.
  #pump() {
    // A listener may call what leads here.
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (this.#tell() && this.#source !== undefined) {
        if (this.#taken === AT_ONCE) {
          this.#rest()
          return
        }
        const taken = this.#source.take()
        if (taken === undefined) {
          this.#taken = 0
          return
        }
        this.#taken += 1
        if (Array.isArray(taken)) this.#events = taken
        else this.#notice(taken)
      }
    } finally {
      this.#pumping = false
    }
  }

  // A stream may come faster than it can be told: timers and sockets get their turn, too.
  #rest() {
    if (this.#resting) return
    this.#resting = true
    setImmediate(() => {
      this.#resting = false
      this.#taken = 0
      this.#onReady()
    })
  }

  // Whether all events are told. They stay while nobody listens, and while a loop is busy.
  #tell() {
    while (this.#at < this.#events.length) {
      if (this.#iterated ? this.#waiting.length === 0 : this.#types.size === 0) return false
      const event = this.#events[this.#at++]
      if (event[GAP] !== undefined && this.#functions.onGap !== undefined) {
        this.#tellGap(event)
        continue
      }
      if (event.data === undefined) {
        this.#call('onComment', event.comment)
        continue
      }
      const last = this.#functions.stopOn !== undefined && this.#call('stopOn', event)
      // The call may have closed it, or failed.
      if (this.#readyState === CLOSED) return false
      this.#lastEventId = event.id
      // Taken first: a listener may close, and that answers all calls of next().
      const next = this.#waiting.shift()
      if (this.#types.has(event.event)) this.#dispatch(event)
      next?.resolve({ value: event, done: false })
      if (last) this.#finish()
    }
    this.#events = []
    this.#at = 0
    return true
  }

  #finish() {
    this.#finished = true
    this.#close()
  }

  // Calls a function of the caller's, in the middle of our own work. Where it throws or rejects, all is over.
  #call(name, argument) {
    try {
      const result = this.#functions[name](argument)
      if (typeof result?.then !== 'function') return result
      // A promise may be late.
      result.then(undefined, cause => this.#readyState === CLOSED ? undefined : this.#callFailed(name, cause))
      if (name === 'stopOn') throw new TypeError('it is called for each event, and cannot be async')
    } catch (cause) {
      this.#callFailed(name, cause)
    }
    return undefined
  }

  #callFailed(name, cause) {
    this.#fail(new EventSourceError(`${name} has thrown: ${cause?.message ?? cause}`, 'callback', { cause }))
  }

  #dispatch({ event, data, id }) {
    this.dispatchEvent(new MessageEvent(event, data, this.#origin, id))
  }

  #notice(notice) {
    switch (notice.kind) {
      case 'open':
        this.#readyState = OPEN
        this.#origin = new URL(notice.url).origin
        this.#response = readResponse(notice)
        this.dispatchEvent(new Event('open'))
        break
      case 'retrying':
        this.#readyState = CONNECTING
        // A restart is no failure.
        if (notice.error.kind !== 'restarted') this.dispatchEvent(new ErrorEvent('error', notice))
        break
      case 'comment':
        // It waits its turn like an event: a loop may still be busy with the one before it.
        this.#events = [notice]
        break
      case 'gap':
        this.#events = [notice.event]
        break
      case 'ended':
        this.#finished = notice.reason !== 'end_of_stream'
        this.#close()
        // As browsers tell each end. That of a stream which has said that it is complete is no surprise.
        if (notice.reason !== 'stopped') this.dispatchEvent(new ErrorEvent('error', ENDS[notice.reason]))
        break
      default:
        this.#fail(notice.error)
    }
  }

  #tellGap(event) {
    this.#call('onGap', event[GAP])
    if (this.#readyState === CLOSED) return
    this.#lastEventId = event.id
    if (this.#types.has(event.event)) this.#dispatch(event)
  }

  #next() {
    if (this.#readyState === CLOSED) {
      const thrown = this.#thrown
      this.#thrown = undefined
      return thrown === undefined
        ? Promise.resolve({ value: undefined, done: true })
        : Promise.reject(thrown.error)
    }
    const next = resolvers()
    this.#waiting.push(next)
    this.#pump()
    return next.promise
  }

  #fail(error) {
    this.#error = error
    this.#thrown = { error }
    this.#close()
    this.dispatchEvent(new ErrorEvent('error', { error }))
  }

  #abort() {
    this.#thrown = { error: this.#signal.reason }
    this.#close()
  }

  #close() {
    if (this.#readyState === CLOSED) return
    this.#readyState = CLOSED
    if (this.#source !== undefined) {
      // Read as long as there is somebody to ask.
      this.#lastEventId = this.lastEventId
      this.#source.close()
      this.#source = undefined
    }
    this.#events = []
    this.#at = 0
    this.#signal?.removeEventListener('abort', this.#onAbort)
    for (const next of this.#waiting.splice(0)) this.#next().then(next.resolve, next.reject)
    this.#closed.resolve(this.#error)
  }

  static {
    const constants = { CONNECTING, OPEN, CLOSED }
    for (const [name, value] of Object.entries(constants)) {
      for (const target of [this, this.prototype]) {
        Object.defineProperty(target, name, { value, enumerable: true })
      }
    }
    for (const name of ['url', 'withCredentials', 'readyState', 'onopen', 'onmessage', 'onerror', 'close']) {
      Object.defineProperty(this.prototype, name, { enumerable: true })
    }
    Object.defineProperty(this.prototype, Symbol.toStringTag, { value: 'EventSource', configurable: true })
  }
}

const readResponse = ({ status, headers, url, http, remote, attempt }) =>
  Object.freeze({ status, headers, url, http, remote, attempt })
