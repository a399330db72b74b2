// One stream of a subscription to a client, whatever carries it: the engine behind `ssehub/express` and `ssehub/web`.
//
// A sink is what carries a stream:
//   write(payload)      sends; false: not ready for more, `stream.resume()` will be called
//   end(last, leaving)  sends the last payload, if any, and ends the body properly; leaving: the connection goes, too
//   cut(last)           sends the last payload, if any, and ends the body so that the client can tell
import { describe } from './data.js'
import { invalid, report } from './errors.js'
import { encode, isEvent, toEvent } from './event.js'
import { CLEAN, END, GAP, reasonOf } from './loop.js'
import { Payload } from './payload.js'
import { INTERNAL } from './subscription.js'

export class HubStream {
  #hub
  #sink
  #options
  #place = undefined
  #done = false
  // The sink is not ready for more.
  #blocked = false
  // A snapshot is being made: nothing may overtake it.
  #held = false
  #snapshotDue = false
  #draining = false

  /** `options` are those of one stream, see `readStreamOptions`; `resume` is the id that the client came with. */
  constructor(subscription, sink, options, resume) {
    const { hub, native, topics, resumes } = subscription[INTERNAL]
    this.#hub = hub
    this.#sink = sink
    this.#options = { ...options, topics }
    const fresh = resume === undefined && !resumes
    this.#snapshotDue = options.snapshot !== undefined && fresh
    this.#place = hub.loop.add(native, this.#settings(resume), this)
  }

  #settings(resume) {
    const { key, heartbeat, maxAge, expiresIn, announcePosition, snapshot } = this.#options
    const times = this.#hub.native.times()
    const beat = heartbeat === undefined ? times.heartbeat : heartbeat
    return {
      resume,
      liveAfterGap: snapshot !== undefined,
      key,
      retry: times.retry,
      // The snapshot bears the position: whoever is cut before it has come starts anew and is not taken for a reader
      // that has seen it.
      announcePosition: announcePosition && !this.#snapshotDue,
      heartbeat: beat == null || beat < 0 ? undefined : beat,
      maxAge,
      expiresIn,
      writeTimeout: times.writeTimeout,
      connection: true,
    }
  }

  get done() {
    return this.#done
  }

  /** The hub's internals. */
  get hub() {
    return this.#hub
  }

  /** Sends the opening block and whatever is owed. */
  start() {
    this.#hub.tell('open', {
      key: this.#options.key,
      topics: this.#options.topics,
      mode: 'in-loop',
      lastEventId: this.#hub.loop.position(this.#place),
    })
    this.#hub.loop.poll(this.#place)
  }

  /** From the loop: what is to be sent now. Returns whether there may be more at once. */
  deliver(code, payload) {
    if (this.#done) return false
    if (code & END) {
      this.#end(reasonOf(code), payload, (code & CLEAN) !== 0)
      return false
    }
    if (code & GAP && this.#options.snapshot !== undefined) {
      this.#takeSnapshot(payload)
      return false
    }
    try {
      this.#blocked = !this.#sink.write(payload)
    } catch (error) {
      report('a stream cannot be written', error)
      this.#end('error', null, false)
      return false
    }
    if (this.#snapshotDue) {
      this.#snapshotDue = false
      this.#takeSnapshot(null)
      return false
    }
    return !this.#blocked
  }

  /** The sink is ready for more. */
  resume() {
    if (!this.#blocked || this.#done) return
    this.#blocked = false
    this.#goOn()
  }

  #goOn() {
    if (this.#blocked || this.#held || this.#done) return
    this.#hub.loop.poll(this.#place)
    // A poll that leaves the stream ready has found nothing: all is sent.
    if (this.#draining && !this.#blocked && !this.#held && !this.#done) {
      this.#end('drain', new Payload(encode({ retry: this.#hub.native.jitteredRetry() })), true)
    }
  }

  /** The client has left. */
  leave(reason = 'client') {
    if (!this.#done) this.#close(reason)
  }

  /** Ends once everything is sent: the server of this stream is closing. */
  drain() {
    if (this.#done) return
    this.#draining = true
    this.#goOn()
  }

  /** Ends at once. */
  cut(reason) {
    if (!this.#done) this.#end(reason, null, false)
  }

  // The position is known before the snapshot is made, so nothing between the two is lost. `before` is a gap event:
  // it goes out together with the snapshot, since whoever has got it resumes behind the gap.
  async #takeSnapshot(before) {
    this.#held = true
    try {
      const id = this.#hub.loop.position(this.#place)
      const value = await this.#options.snapshot()
      const wire = before === null ? [] : [before.bytes]
      const events = await collect(value, this.#hub.stringify)
      events.forEach((event, i) => {
        const { data, event: type, retry, comment } = event
        // The last one bears the position: whoever has it, has all.
        wire.push(encode({ ...defined({ data, event: type, retry, comment }), ...(i === events.length - 1 && { id }) }))
      })
      if (events.length === 0 && this.#options.announcePosition) wire.push(encode({ id }))
      this.#held = false
      if (this.#done) return
      if (wire.length > 0) this.#blocked = !this.#sink.write(new Payload(Buffer.concat(wire)))
    } catch (error) {
      this.#held = false
      report('a snapshot failed', error)
      this.cut('error')
      return
    }
    this.#goOn()
  }

  #end(reason, last, clean) {
    this.#close(reason)
    if (clean) this.#sink.end(last, reason === 'drain')
    else this.#sink.cut(null)
  }

  #close(reason) {
    this.#done = true
    const info = this.#hub.loop.remove(this.#place, reason)
    if (info === null) return
    const { key, topics, duration, events, bytes, lastEventId } = info
    this.#hub.tell(
      'close',
      { key, topics, reason, mode: 'in-loop', duration: duration / 1000, events, bytes, lastEventId },
      this.#options.onClose,
    )
    this.#options.onEnd?.()
  }
}

const defined = fields => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

// What a snapshot gives: nothing, an event, several of them, or data.
async function collect(value, stringify) {
  if (value === undefined) return []
  if (isEvent(value)) return [value]
  if (Array.isArray(value)) return value.length > 0 && value.every(isEvent) ? value : [toEvent(value, stringify)]
  if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
    const iterate = value[Symbol.asyncIterator] ?? value[Symbol.iterator]
    if (typeof iterate === 'function') {
      const events = []
      for await (const item of value) events.push(toEvent(item, stringify))
      return events
    }
  }
  if (typeof value === 'function') throw invalid(`a snapshot gives events or data, not ${describe(value)}`)
  return [toEvent(value, stringify)]
}
