// One stream of a subscription to a client, whatever carries it. It begins in this thread, and goes to the engine as
// soon as its first bytes have proved that they reach the socket as they are; where they do not, it stays.
//
// A sink is what carries a stream:
//   head(handoff)       sends the head; handoff: how the socket is to go to the engine afterwards, if it is
//   write(payload)      sends; false: not ready for more, `stream.resume()` will be called
//   end(last, leaving)  sends the last payload, if any, and ends the body properly; leaving: the connection goes, too
//   cut(last)           sends the last payload, if any, and ends the body so that the client can tell
//   obstacle()          why its socket cannot go to the engine, if there is a reason
//   lend(then)          calls `then(obstacle)` or `then(undefined, { fd, chunked, letGo })` when all has left
import { Context } from './context.js'
import { describe } from './data.js'
import { Detached, tellClosed } from './detached.js'
import { invalid, report } from './errors.js'
import { encode, isEvent, toEvent } from './event.js'
import { refuse } from './handoff.js'
import { CLEAN, END, GAP, reasonOf } from './loop.js'
import { Payload } from './payload.js'
import { forget } from './shutdown.js'
import { INTERNAL } from './subscription.js'

export class HubStream {
  #hub
  #sink
  #options
  #place = undefined
  #done = false
  // The sink is not ready for more.
  #blocked = false
  // A snapshot is being made, or the socket is changing hands: nothing may overtake that.
  #paused = false
  #snapshotDue = false
  #draining = false
  // The socket is still to be offered to the engine.
  #moves = false
  // Where the engine has the stream: its number there, and whether the server keeps the socket.
  #tag = undefined
  #held = false
  // What is told when it is known who writes the stream.
  #opening = undefined

  /** `options` are those of one stream, see `openStream`; `resume` is the id that the client came with. */
  constructor(subscription, sink, options, resume) {
    const { hub, native, topics, resumes } = subscription[INTERNAL]
    this.#hub = hub
    this.#sink = sink
    this.#options = options
    const fresh = resume === undefined && !resumes
    this.#snapshotDue = options.snapshot !== undefined && fresh
    this.#place = hub.loop.add(native, this.#settings(resume), this)
    this.#opening = { key: options.key, topics, lastEventId: hub.loop.position(this.#place) }
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

  /** Whether the engine alone has the socket. */
  get detached() {
    return this.#tag !== undefined && !this.#held
  }

  /** The hub's internals. */
  get hub() {
    return this.#hub
  }

  /** Sends the head, the opening block, and whatever is owed. Throws what is to be answered instead. */
  async run() {
    const { handoff } = this.#options
    const { loop } = this.#hub
    try {
      if (handoff === 'off') {
        this.#stay()
      } else {
        const obstacle = this.#sink.obstacle() ?? (loop.reserve(this.#place) ? undefined : 'descriptors')
        this.#moves = obstacle === undefined
        if (!this.#moves) this.#stay(obstacle)
      }
      this.#sink.head(this.#moves ? handoff : undefined)
      this.#goOn()
    } catch (error) {
      this.leave('error')
      throw error
    }
  }

  // Goes on in this thread.
  #stay(obstacle = undefined, cause = undefined) {
    if (obstacle !== undefined) {
      this.#hub.loop.release(this.#place)
      refuse(this.#hub, obstacle, this.#options.handoff === 'require', cause)
    }
    this.#tellOpen('in-loop')
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
    // With snapshots it moves when it has caught up: should the first thing be a gap, the engine could make none.
    if (this.#moves && this.#options.snapshot === undefined) {
      this.#move()
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
    if (this.#blocked || this.#paused || this.#done) return
    this.#hub.loop.poll(this.#place)
    // A poll that leaves the stream ready has found nothing: all is sent.
    if (this.#blocked || this.#paused || this.#done) return
    if (this.#draining) this.#end('drain', this.#retry(), true)
    else if (this.#moves) this.#move()
  }

  #move() {
    this.#moves = false
    this.#paused = true
    this.#sink.lend((obstacle, socket) => {
      this.#paused = false
      if (this.#done) return
      let cause
      // One that is about to end anyway ends here.
      if (obstacle === undefined && !this.#draining) {
        try {
          return this.#handOff(socket)
        } catch (error) {
          obstacle = 'error'
          cause = error
        }
      }
      try {
        this.#stay(obstacle, cause)
      } catch (error) {
        report('a stream is ended', error)
        return this.cut('error')
      }
      return this.#goOn()
    })
  }

  // Where this throws, nothing has happened.
  #handOff({ fd, chunked, letGo }) {
    const { handoff, snapshot, onClose, server, context } = this.#options
    const held = handoff === 'hold'
    this.#tag = this.#hub.loop.handOff(this.#place, { fd, chunked, held, snapshot: snapshot !== undefined })
    this.#held = held
    this.#tellOpen(held ? 'held' : 'detached')
    if (held) return
    letGo()
    this.#sink = undefined
    this.#options = undefined
    Detached.take(this.#hub, this.#tag, { server, onClose, context })
    forget(this, server)
  }

  /** From the loop: the engine has ended the stream that it held. `clean`: whether its last frame is whole. */
  over(clean, info) {
    this.#done = true
    this.#tellClose(info)
    if (clean) this.#sink.end(this.#draining ? this.#retry() : null, info.reason === 'drain')
    else this.#sink.cut(null)
  }

  /** The client has left. */
  leave(reason = 'client') {
    // The response of a detached stream has an end of its own.
    if (this.#done || this.detached) return
    if (this.#held) this.#hub.loop.end(this.#tag, reason)
    else this.#close(reason)
  }

  /** Ends once everything is sent: the server of this stream is closing. */
  drain() {
    if (this.#done || this.detached) return
    this.#draining = true
    if (this.#held) this.#hub.loop.end(this.#tag, 'drain')
    else this.#goOn()
  }

  // When to come back.
  #retry() {
    return new Payload(encode({ retry: this.#hub.native.jitteredRetry() }))
  }

  /** Ends at once. */
  cut(reason) {
    if (this.#done || this.detached) return
    if (this.#held) this.#hub.loop.end(this.#tag, reason)
    else this.#end(reason, null, false)
  }

  // The position is known before the snapshot is made, so nothing between the two is lost. `before` is a gap event: it
  // bears no position, so that whoever is cut before the snapshot has come gets another one.
  async #takeSnapshot(before) {
    this.#paused = true
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
      this.#paused = false
      if (this.#done) return
      if (wire.length > 0) this.#blocked = !this.#sink.write(new Payload(Buffer.concat(wire)))
    } catch (error) {
      this.#paused = false
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
    if (info !== null) this.#tellClose(info)
  }

  #tellOpen(mode) {
    if (this.#opening !== undefined) this.#hub.tell('open', { ...this.#opening, mode })
    this.#opening = undefined
  }

  #tellClose(info) {
    this.#tellOpen(info.mode)
    const { onClose, server, context } = this.#options
    tellClosed(this.#hub, info, onClose)
    forget(this, server)
    Context.abort(context)
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
