// Errors: the classes, and the way from the engine's errors to them.

/** The root of what goes wrong in the engine itself. Bad arguments are TypeError and RangeError. */
export class SSEHubError extends Error {
  constructor(message, code = 'ERR_SSEHUB', options = undefined) {
    super(message, options)
    this.code = code
  }

  static {
    // On the prototype, as with the language's own errors.
    this.prototype.name = 'SSEHubError'
  }
}

const define = (name, code) => {
  const Class = class extends SSEHubError {
    constructor(message, options = undefined) {
      super(message, code, options)
    }
  }
  Object.defineProperty(Class, 'name', { value: name })
  Class.prototype.name = name
  return Class
}

export const EventTooLargeError = define('EventTooLargeError', 'ERR_SSEHUB_EVENT_TOO_LARGE')
export const LimitError = define('LimitError', 'ERR_SSEHUB_LIMIT')
export const DrainingError = define('DrainingError', 'ERR_SSEHUB_DRAINING')
export const ClosedError = define('ClosedError', 'ERR_SSEHUB_CLOSED')
export const LaggedError = define('LaggedError', 'ERR_SSEHUB_LAGGED')
export const HandoffError = define('HandoffError', 'ERR_SSEHUB_HANDOFF')

const classes = {
  ERR_SSEHUB_EVENT_TOO_LARGE: EventTooLargeError,
  ERR_SSEHUB_LIMIT: LimitError,
  ERR_SSEHUB_DRAINING: DrainingError,
  ERR_SSEHUB_CLOSED: ClosedError,
}

export function invalid(message) {
  const error = new TypeError(message)
  error.code = 'ERR_SSEHUB_INVALID_ARGUMENT'
  return error
}

export function outOfRange(message) {
  const error = new RangeError(message)
  error.code = 'ERR_SSEHUB_OUT_OF_RANGE'
  return error
}

/** What the addon threw, as the exception that users see. `error.rs` writes `code US field US message`. */
export function fromNative(error) {
  const parts = typeof error?.message === 'string' ? error.message.split('\x1f') : []
  if (parts.length < 3) return error
  const [code, field] = parts
  const message = parts.slice(2).join('\x1f')
  let made
  if (code === 'ERR_SSEHUB_INVALID_ARGUMENT') made = invalid(message)
  else if (code === 'ERR_SSEHUB_OUT_OF_RANGE') made = outOfRange(message)
  else if (Object.hasOwn(classes, code)) made = new classes[code](message)
  else made = new SSEHubError(message, code)
  if (field !== '') made.field = field
  return made
}

/** Tells of an error that nobody can be thrown at: it must be seen, and must not end the process. */
export function report(what, error) {
  const detail = error instanceof Error ? (error.stack ?? String(error)) : String(error)
  process.emitWarning(`${what}: ${detail}`, { type: 'SSEHubWarning', code: 'SSEHUB_REPORT' })
}
