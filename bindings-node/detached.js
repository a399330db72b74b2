// What this thread keeps of the streams that the engine has alone. There may be tens of thousands, and nothing is left
// to do for them but to tell of their ends: those of one route and server have one object.
import { Context } from './context.js'
import { forget, watch } from './shutdown.js'

// The objects that streams of a hub share: few, since they go with their last stream.
const shared = new WeakMap()

export class Detached {
  #hub
  #server
  #onClose
  // Of a stream that has an object of its own, since somebody looks at its signal.
  #context
  #streams = 0

  constructor(hub, server, onClose, context = undefined) {
    this.#hub = hub
    this.#server = server
    this.#onClose = onClose
    this.#context = context
  }

  /** Takes over the stream that the engine has under this number. */
  static take(hub, tag, { server, onClose, context }) {
    const own = () => new Detached(hub, server, onClose, context).#enter()
    const isUnseen = Context.rest(context, () => {
      // Somebody looks at the signal after all.
      const former = hub.loop.reassign(tag, own)
      if (former === undefined) Context.abort(context)
      else former.#leave()
    })
    hub.loop.reassign(tag, isUnseen ? () => Detached.#common(hub, server, onClose).#enter() : own)
  }

  static #common(hub, server, onClose) {
    let all = shared.get(hub)
    if (all === undefined) shared.set(hub, (all = []))
    let common = all.find(it => it.#server === server && it.#onClose === onClose)
    if (common === undefined) all.push((common = new Detached(hub, server, onClose)))
    return common
  }

  // For those who end streams: see shutdown.js.

  get detached() {
    return true
  }

  get hub() {
    return this.#hub
  }

  /** From the loop: the engine has ended one of the streams. */
  over(_clean, info) {
    tellClosed(this.#hub, info, this.#onClose)
    this.#leave()
    if (this.#context !== undefined) Context.abort(this.#context)
  }

  #enter() {
    this.#streams += 1
    if (this.#streams === 1) watch(this, this.#server)
    return this
  }

  #leave() {
    this.#streams -= 1
    if (this.#streams > 0) return
    forget(this, this.#server)
    const all = shared.get(this.#hub)
    const at = all?.indexOf(this) ?? -1
    if (at >= 0) all.splice(at, 1)
  }
}

/** Tells everybody who wants to know that a stream is over, as its users see it. */
export function tellClosed(hub, { key, topics, reason, mode, duration, events, bytes, lastEventId }, onClose) {
  hub.tell('close', { key, topics, reason, mode, duration: duration / 1000, events, bytes, lastEventId }, onClose)
}
