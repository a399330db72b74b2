// The client side of a response that is already there: bytes to events, pulled.
import { types } from 'node:util'

import { describe } from './data.js'
import { EventTooLargeError, invalid } from './errors.js'
import { checkKnown, readSignal } from './options.js'
import { Parser } from './parser.js'

/** The events of a Response, a ReadableStream, an IncomingMessage or any async iterable of bytes. */
export function events(source, options = {}) {
  checkKnown(options, ['maxEventSize', 'signal'], 'events()')
  const parser = new Parser({ maxEventSize: options.maxEventSize })
  const signal = readSignal(options.signal)
  return new Events(open(source), parser, signal)
}

// What is read: `read()` gives `{ value, done }`, `cancel()` gives the source up.
function open(source) {
  if (source === null || typeof source !== 'object') throw unreadable(source)
  // A Response: known by its body, so that any fetch implementation will do.
  if ('body' in source && typeof source.arrayBuffer === 'function') {
    if (source.body === null) return EMPTY
    return open(source.body)
  }
  if (typeof source.getReader === 'function') {
    const reader = source.getReader()
    return { read: () => reader.read(), cancel: reason => reader.cancel(reason) }
  }
  const iterate = source[Symbol.asyncIterator] ?? source[Symbol.iterator]
  if (typeof iterate !== 'function' || types.isUint8Array(source)) throw unreadable(source)
  const iterator = iterate.call(source)
  const cancel = async () => {
    // A stream's iterator would wait for the next bytes before it returns.
    if (typeof source.destroy === 'function' && typeof source.pipe === 'function') source.destroy()
    await iterator.return?.()
  }
  return { read: async () => iterator.next(), cancel }
}

const EMPTY = { read: async () => ({ value: undefined, done: true }), cancel: async () => undefined }

const unreadable = source =>
  invalid(
    'events() reads a Response, a ReadableStream, an IncomingMessage or an async iterable of bytes, ' +
      `not ${describe(source)}`,
  )

// Written by hand: an async generator costs two promises more per event.
class Events {
  #source
  #parser
  // Events of the chunk at hand, and the next of them.
  #events = []
  #at = 0
  // A call of next() that waits for a chunk. Calls that come meanwhile queue behind it.
  #pending = undefined
  #failure = undefined
  #done = false
  #signal
  #onAbort = () => this.#abort()
  // Ends the wait for a chunk.
  #interrupt = undefined

  constructor(source, parser, signal) {
    this.#source = source
    this.#parser = parser
    this.#signal = signal
    if (signal?.aborted) this.#abort()
    else signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  get lastEventId() {
    return this.#parser.lastEventId
  }

  get retry() {
    return this.#parser.retry
  }

  [Symbol.asyncIterator]() {
    return this
  }

  next() {
    if (this.#pending === undefined && this.#at < this.#events.length) {
      return Promise.resolve({ value: this.#events[this.#at++], done: false })
    }
    return this.#queue(() => this.#pull())
  }

  async return(value) {
    if (!this.#done) {
      this.#finish()
      await this.#source.cancel()
    }
    return { value, done: true }
  }

  async [Symbol.asyncDispose]() {
    await this.return()
  }

  #queue(step) {
    const pending = this.#pending === undefined ? step() : this.#pending.then(step, step)
    this.#pending = pending
    const settled = () => {
      if (this.#pending === pending) this.#pending = undefined
    }
    pending.then(settled, settled)
    return pending
  }

  async #pull() {
    while (this.#at >= this.#events.length) {
      if (this.#failure !== undefined) {
        const { error } = this.#failure
        this.#failure = undefined
        this.#finish()
        throw error
      }
      if (this.#done) return { value: undefined, done: true }
      await this.#read()
    }
    return { value: this.#events[this.#at++], done: false }
  }

  async #read() {
    const chunk = this.#source.read()
    const { value, done } = await (this.#signal === undefined ? chunk : this.#unlessAborted(chunk)).catch(error => {
      // What it says after it was given up is of no interest.
      if (this.#done || this.#failure !== undefined) return {}
      this.#finish()
      throw error
    })
    // It may have been given up meanwhile.
    if (this.#done || this.#failure !== undefined) return
    this.#at = 0
    this.#events = []
    if (done) {
      this.#finish()
      return
    }
    try {
      this.#events = this.#parser.feed(value)
    } catch (error) {
      // The events before the one that is too large are still owed.
      if (error instanceof EventTooLargeError) this.#events = error.events
      this.#failure = { error }
      this.#source.cancel(error).catch(() => {})
    }
  }

  // Promise.race would leave something behind with each chunk.
  #unlessAborted(chunk) {
    return new Promise((resolve, reject) => {
      this.#interrupt = reject
      chunk.then(resolve, reject)
    })
  }

  #abort() {
    const { reason } = this.#signal
    this.#events = []
    this.#at = 0
    this.#failure = { error: reason }
    this.#interrupt?.(reason)
    this.#source.cancel(reason).catch(() => {})
  }

  #finish() {
    this.#done = true
    this.#events = []
    this.#at = 0
    this.#signal?.removeEventListener('abort', this.#onAbort)
  }
}

/** Bytes in, events out. What aborts it is `pipeThrough`'s own signal. */
export class EventSourceStream extends TransformStream {
  constructor(options = undefined) {
    const parser = new Parser(options)
    super({
      transform(chunk, controller) {
        // Events before one that is too large are in the error's `events`: an error drops what is queued.
        for (const event of parser.feed(chunk)) controller.enqueue(event)
      },
    })
  }
}
