// One iterable, one stream: what it yields goes to one client. Sinks are those of stream.js, with `head()` before.
import { Context } from './context.js'
import { report } from './errors.js'
import { encode, toEvent } from './event.js'
import { Payload } from './payload.js'
import { forget } from './shutdown.js'

/** The id that ends a finished stream. A client that comes back with it is told not to. */
export const END_MARK = 'ssehub:end'

const HEARTBEAT = new Payload(Buffer.from(':\n'))
const FAILED = new Payload(Buffer.from('event: ssehub:error\ndata: \n\n'))
const FINISHED = new Payload(Buffer.from(`id: ${END_MARK}\n\n`))
const DEFAULT_HEARTBEAT = 15_000
/** The head waits so long for the first item, so that an error before it can be answered properly. */
const HEAD_DELAY = 1000

const GONE = Symbol('gone')

export class IterableStream {
  #iterator
  #sink
  #options
  #heartbeat
  #timers = []
  #beat = undefined
  #headSent = false
  #done = false
  #blocked = false
  // What the stream waits for: an item, or a sink that is ready.
  #wake = undefined
  #opened = performance.now()
  #events = 0
  #bytes = 0

  /** `options` as in stream.js, and `mark`: whether to end with the mark. */
  constructor(source, sink, options) {
    this.#iterator = (source[Symbol.asyncIterator] ?? source[Symbol.iterator]).call(source)
    this.#sink = sink
    this.#options = options
    this.#heartbeat = options.heartbeat === undefined ? DEFAULT_HEARTBEAT : options.heartbeat
  }

  get done() {
    return this.#done
  }

  /** Runs until the source or the client has ended. Rejects with what was thrown before the head was sent. */
  async run() {
    this.#startTimers()
    try {
      while (!this.#done) {
        const step = await this.#await(this.#iterator.next())
        if (this.#done || step === GONE) break
        if (step.done) return this.#finish()
        await this.#send(await step.value)
      }
    } catch (error) {
      if (this.#done) return report('a source failed after its client had left', error)
      return this.#fail(error)
    }
    return undefined
  }

  /** The sink is ready for more. */
  resume() {
    if (!this.#blocked) return
    this.#blocked = false
    this.#wake?.(undefined)
  }

  /** The client has left. */
  leave() {
    this.#stop('client')
  }

  /** A finite stream may finish. */
  drain() {}

  /** Ends at once. */
  cut(reason) {
    if (this.#stop(reason)) this.#sink.cut(null)
  }

  #startTimers() {
    const { maxAge, expiresIn } = this.#options
    const later = (time, act) => {
      const timer = setTimeout(act, Math.min(time, 2 ** 31 - 1)).unref()
      this.#timers.push(timer)
      return timer
    }
    const beat = this.#heartbeat
    later(beat >= 0 ? Math.min(beat, HEAD_DELAY) : HEAD_DELAY, () => this.#head())
    if (beat >= 0) {
      this.#beat = later(beat, () => {
        this.#beat.refresh()
        if (!this.#blocked) this.#write(HEARTBEAT)
      })
    }
    // A tenth up or down: streams that were opened together are not to end together.
    if (maxAge !== undefined) later(maxAge * (0.9 + Math.random() / 5), () => this.#expire('max_age'))
    if (expiresIn !== undefined) later(expiresIn, () => this.#expire('expired'))
  }

  #expire(reason) {
    if (this.#done) return
    this.#head()
    if (this.#stop(reason)) this.#sink.end(null, false)
  }

  // Not Promise.race: a source of a million items would leave a million reactions at one promise.
  #await(promise) {
    return new Promise((resolve, reject) => {
      this.#wake = resolve
      Promise.resolve(promise).then(resolve, reject)
    })
  }

  async #send(value) {
    const payload = new Payload(encode(toEvent(value, this.#options.stringify)))
    if (this.#done) return
    this.#events += 1
    this.#write(payload)
    this.#beat?.refresh()
    while (this.#blocked && !this.#done) {
      await new Promise(resolve => {
        this.#wake = resolve
      })
    }
  }

  #head() {
    if (this.#headSent || this.#done) return
    this.#headSent = true
    this.#sink.head()
  }

  #write(payload) {
    this.#head()
    this.#bytes += payload.bytes.length
    this.#blocked = !this.#sink.write(payload)
  }

  #finish() {
    this.#head()
    if (!this.#stop('finished', false)) return
    this.#sink.end(this.#options.mark ? FINISHED : null, false)
  }

  #fail(error) {
    const early = !this.#headSent
    this.#stop('error')
    if (early && this.#sink.canFail) throw error
    report('the source of a stream failed', error)
    this.#head()
    this.#sink.cut(FAILED)
  }

  /** Lets go of everything. False where that has happened before. */
  #stop(reason, cancel = true) {
    if (this.#done) return false
    this.#done = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#wake?.(GONE)
    if (cancel) {
      Context.abort(this.#options.context)
      // A generator that waits takes notice when it has got what it waits for: the signal is what wakes it.
      try {
        Promise.resolve(this.#iterator.return?.()).catch(() => {})
      } catch {
        // It is being given up: nobody is left to tell.
      }
    }
    this.#tell(reason)
    forget(this, this.#options.server)
    return true
  }

  #tell(reason) {
    const { key, onClose } = this.#options
    if (onClose === undefined) return
    const info = {
      key,
      topics: [],
      reason,
      mode: 'in-loop',
      duration: (performance.now() - this.#opened) / 1000,
      events: this.#events,
      bytes: this.#bytes,
      lastEventId: '',
    }
    queueMicrotask(async () => {
      try {
        await onClose(info)
      } catch (error) {
        report('onClose failed', error)
      }
    })
  }
}
