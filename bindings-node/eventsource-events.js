// What listeners of an EventSource get.
import { inspect } from 'node:util'

const NO_PORTS = Object.freeze([])
const Standard = globalThis.MessageEvent

/**
 * The standard's MessageEvent, and an instance of it. Node's own constructor checks and converts each field, which in
 * Node 22 and later costs several times what all the rest does.
 */
export class MessageEvent extends Event {
  #data
  #origin
  #lastEventId

  constructor(type, data, origin, lastEventId) {
    super(type)
    this.#data = data
    this.#origin = origin
    this.#lastEventId = lastEventId
  }

  get data() {
    return this.#data
  }

  get origin() {
    return this.#origin
  }

  get lastEventId() {
    return this.#lastEventId
  }

  get source() {
    return null
  }

  get ports() {
    return NO_PORTS
  }

  // Node shows the fields of plain events only.
  [inspect.custom](_depth, options) {
    const { type, data, origin, lastEventId } = this
    return `MessageEvent ${inspect({ type, data, origin, lastEventId }, options)}`
  }

  static {
    // Instances are made by Event's constructor, and are what `instanceof MessageEvent` asks for.
    Object.setPrototypeOf(this.prototype, Standard.prototype)
    Object.defineProperty(this.prototype, Symbol.toStringTag, { value: 'MessageEvent', configurable: true })
  }
}

/** The standard's plain event, and what is known about the failure. */
export class ErrorEvent extends Event {
  constructor(type, { error, message = error?.message ?? '', status = error?.status, attempt, delay } = {}) {
    super(type)
    this.error = error
    this.message = message
    this.status = status
    // As the package `eventsource` calls it.
    this.code = status
    this.attempt = attempt
    this.delay = delay
  }

  [inspect.custom](_depth, options) {
    const { type, message, status, attempt, delay, error } = this
    return `ErrorEvent ${inspect({ type, message, status, attempt, delay, error }, options)}`
  }
}

/** The ends that are no failures, and yet not the stream's own word, as listeners for `error` are told of them. */
export const ENDS = {
  no_content: { message: 'the server answered with status 204: there is nothing more', status: 204 },
  end_of_stream: { message: 'the stream has ended, and is not one to reconnect to' },
}
