// The engine's side of an EventSource: what has come, in batches, and the questions that only the caller's functions
// can answer. One wake-up call serves all sources of this thread.
import * as native from './native.js'
import { fromNative } from './errors.js'
import { toError, toHeaders } from './eventsource-errors.js'
import { readHeaders } from './eventsource-options.js'
import { Unpacker } from './packed.js'

/** In an event by which a hub says that others are lost: what it says. */
export const GAP = Symbol('gap')

// What the open sources of this thread do when they are woken, by number.
const open = new Map()
let sources
let last = 0
// The addon's wake-up call does not keep the process alive.
let alive

function wake() {
  // Some may be closed by now.
  for (const id of sources.woken()) open.get(id)?.()
}

export class Source {
  #native
  #id
  #functions
  #unpacker = new Unpacker()
  #closed = false
  // What the caller's functions are told by.
  #asking = undefined
  // What one of them has thrown.
  #cause = undefined

  /** Begins at once. `onReady` is called when there is something to take. */
  constructor(settings, functions, onReady) {
    sources ??= new native.Sources(wake)
    do last = (last + 1) >>> 0
    while (open.has(last))
    this.#id = last
    this.#functions = functions
    open.set(this.#id, onReady)
    try {
      this.#native = sources.open(this.#id, settings)
    } catch (error) {
      open.delete(this.#id)
      throw fromNative(error)
    }
    alive ??= setInterval(() => {}, 1 << 30)
  }

  /** Events in a row, as an array; or what else has happened; or undefined. */
  take() {
    for (;;) {
      const taken = native.sourceTake(this.#native)
      if (taken === null) return undefined
      if (typeof taken === 'string' || Array.isArray(taken)) return this.#unpacker.unpack(taken)
      if (!this.#answers(taken)) return this.#notice(taken)
    }
  }

  get lastEventId() {
    return native.sourceLastEventId(this.#native)
  }

  restart() {
    native.sourceRestart(this.#native)
  }

  /** Gives back everything, at once. */
  close() {
    this.#closed = true
    native.sourceClose(this.#native)
    this.#asking?.abort()
    open.delete(this.#id)
    if (open.size === 0) {
      clearInterval(alive)
      alive = undefined
    }
  }

  #notice(notice) {
    const { kind, headers, error, delay, event, lastEventId, reason } = notice
    if (kind === 'gap') event[GAP] = { lastEventId, reason }
    if (headers !== undefined) notice.headers = toHeaders(headers)
    if (error !== undefined) notice.error = toError(error, error.kind === 'callback' ? this.#cause : undefined)
    // All times that users see are seconds.
    if (delay !== undefined) notice.delay = delay / 1000
    return notice
  }

  // Whether this was a question, which is now being answered.
  #answers({ kind, attempt, status, from, url, method }) {
    if (kind === 'headers') {
      this.#ask(this.#functions.headers, { attempt, status }, headers => {
        const { names, values } = readHeaders(headers)
        native.sourceAnswerHeaders(this.#native, names, values)
      })
    } else if (kind === 'redirect') {
      this.#ask(this.#functions.onRedirect, { from, to: url, status, method }, follow => {
        native.sourceAnswerRedirect(this.#native, Boolean(follow))
      })
    } else {
      return false
    }
    return true
  }

  async #ask(ask, question, answer) {
    this.#asking ??= new AbortController()
    const { signal } = this.#asking
    try {
      const answered = await ask({ ...question, signal })
      if (!this.#closed) answer(answered)
    } catch (thrown) {
      if (this.#closed) return
      this.#cause = fromNative(thrown)
      native.sourceAnswerFailed(this.#native, String(this.#cause?.message ?? this.#cause))
    }
  }
}
