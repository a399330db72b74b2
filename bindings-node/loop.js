// The streams of one hub in this thread. The engine calls once per burst of events, and says in one answer which
// streams have what to send; streams at the same position get the same Buffer.
import * as native from './native.js'
import { fromNative, report } from './errors.js'
import { Payload } from './payload.js'

// The code of a delivery: see selector.rs.
export const GAP = 1
export const END = 2
export const CLEAN = 4
const REASON_SHIFT = 3
const PAYLOAD_SHIFT = 6

/** Why streams end, in the order of the engine's numbers. */
export const REASONS = ['client', 'slow', 'drain', 'kick', 'expired', 'max_age', 'error']

export const reasonOf = code => REASONS[(code >>> REASON_SHIFT) & 7]

/** How often streams are looked at in any case: those whose client takes nothing are found so. */
const LONGEST_WAIT = 1000

/**
 * What is served is an object with `deliver(code, payload)`: it sends the payload, and returns whether it is ready for
 * more at once. One that has been handed to the engine has `over(clean, info)`: it is told of its end.
 */
export class Loop {
  #hub
  #selector
  #streams = []
  #count = 0
  #timer = undefined
  #due = Infinity
  #scheduled = false
  // Streams that the engine has, by their numbers there.
  #handed = new Map()
  #reports = undefined
  #lastTag = 0
  // Those whose sockets this thread has no part in any more, and what keeps it alive for them.
  #detached = 0
  #alive = undefined

  constructor(hub) {
    this.#hub = hub
    // The engine holds the callback for as long as the selector lives: only a weak reference lets both go.
    const self = new WeakRef(this)
    this.#selector = new native.Selector(hub, () => self.deref()?.run())
  }

  /** How many streams there are. */
  get size() {
    return this.#count
  }

  /** How many streams the engine has whose end has not been told yet. */
  get handed() {
    return this.#handed.size
  }

  /** Starts a stream. Nothing is delivered before `poll`. */
  add(subscription, settings, stream) {
    let place
    try {
      place = this.#selector.add(subscription, settings)
    } catch (error) {
      throw fromNative(error)
    }
    this.#streams[place] = stream
    this.#count += 1
    this.schedule()
    return place
  }

  /** Ends a stream: what is known of it, or null where it has ended before. */
  remove(place, reason) {
    if (this.#streams[place] === undefined) return null
    this.#forget(place)
    return this.#selector.remove(place, REASONS.indexOf(reason))
  }

  #forget(place) {
    this.#streams[place] = undefined
    this.#count -= 1
    if (this.#count === 0) this.#disarm()
  }

  /** Sets a descriptor aside for the socket of a stream. False where there is none. */
  reserve(place) {
    return this.#selector.reserve(place)
  }

  /** Gives that descriptor back. */
  release(place) {
    this.#selector.release(place)
  }

  /** Gives a stream and its socket to the engine. Returns its number there. Where this throws, nothing has happened. */
  handOff(place, { fd, chunked, held, snapshot }) {
    const tag = this.#lastTag + 1
    this.#reports ??= this.#makeReports()
    this.#selector.handOff(place, fd, { chunked, held, snapshot, tag }, this.#reports)
    this.#lastTag = tag
    this.#handed.set(tag, this.#streams[place])
    this.#forget(place)
    if (!held) this.#keepAlive(1)
    return tag
  }

  /** Has another object told of the end of a stream that the engine has. The one so far; undefined: it is over. */
  reassign(tag, make) {
    const former = this.#handed.get(tag)
    if (former !== undefined) this.#handed.set(tag, make())
    return former
  }

  /** Ends a stream that the engine has. `over` follows. */
  end(tag, reason) {
    this.#reports.remove(tag, REASONS.indexOf(reason))
  }

  /** Ends streams that the engine has: those that these objects are told of. Each gets a time of its own; `over` follows. */
  drain(streams, timeout, spread) {
    const tags = []
    for (const [tag, stream] of this.#handed) if (streams.has(stream)) tags.push(tag)
    if (tags.length > 0) this.#reports.drain(tags, timeout, spread)
  }

  #makeReports() {
    const self = new WeakRef(this)
    return new native.Reports(this.#hub, () => self.deref()?.#collect())
  }

  #collect() {
    for (const { tag, clean, info } of this.#reports.take()) {
      const stream = this.#handed.get(tag)
      this.#handed.delete(tag)
      if (info.mode === 'detached') this.#keepAlive(-1)
      try {
        stream.over(clean, info)
      } catch (error) {
        report('the end of a stream failed', error)
      }
    }
  }

  // The sockets of these streams do not keep the process alive any more. The timer holds this loop, and its hub.
  #keepAlive(more) {
    this.#detached += more
    if (this.#detached > 0) {
      this.#alive ??= setInterval(() => this.#detached, 2 ** 31 - 1)
    } else {
      clearInterval(this.#alive)
      this.#alive = undefined
    }
  }

  /** Delivers what a stream that is ready has to send, until it is not ready or there is nothing. */
  poll(place) {
    this.#deliver(this.#selector.poll([place]))
  }

  /** The id of a stream's position. */
  position(place) {
    return this.#selector.position(place)
  }

  /** Delivers what all streams have to send. */
  run() {
    this.#scheduled = false
    try {
      this.#deliver(this.#selector.select())
      this.#arm()
    } catch (error) {
      // It is called by the engine, where an exception would end the process.
      report('a round of deliveries failed', error)
    }
  }

  #deliver(ready) {
    while (ready !== null) {
      const { pairs } = ready
      const payloads = ready.payloads.map(bytes => new Payload(bytes))
      const more = []
      for (let i = 0; i < pairs.length; i += 2) {
        const stream = this.#streams[pairs[i]]
        // Gone since the round began.
        if (stream === undefined) continue
        const code = pairs[i + 1]
        const payload = code >>> PAYLOAD_SHIFT
        if (stream.deliver(code, payload === 0 ? null : payloads[payload - 1])) more.push(pairs[i])
      }
      ready = more.length === 0 ? null : this.#selector.poll(more)
    }
  }

  /**
   * Sees to it that a round comes, also where the event loop would have nothing else to do: the engine's own call does
   * not keep the process alive, and what this thread has published is to reach those who wait in it.
   */
  schedule() {
    if (this.#scheduled || this.#count === 0) return
    this.#scheduled = true
    setImmediate(() => this.run())
  }

  // For heartbeats, ages, and clients that take nothing. Sockets keep the process alive, not this.
  #arm() {
    const wait = this.#selector.wait()
    if (this.#count === 0 || wait < 0) return
    const due = performance.now() + Math.min(wait, LONGEST_WAIT)
    if (due >= this.#due - 1) return
    this.#disarm()
    this.#due = due
    const self = new WeakRef(this)
    this.#timer = setTimeout(() => self.deref()?.#expire(), Math.min(wait, LONGEST_WAIT))
    this.#timer.unref()
  }

  #expire() {
    this.#due = Infinity
    this.run()
  }

  #disarm() {
    clearTimeout(this.#timer)
    this.#due = Infinity
  }
}
