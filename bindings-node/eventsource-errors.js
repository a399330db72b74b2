// What goes wrong between an EventSource and its server.
import { SSEHubError } from './errors.js'

/** A failed attempt, or what ended a source. */
export class EventSourceError extends SSEHubError {
  constructor(message, kind, { cause, url, status, headers, body, retryAfter, isRetryable = false } = {}) {
    super(message, 'ERR_SSEHUB_EVENT_SOURCE', cause === undefined ? undefined : { cause })
    this.kind = kind
    this.url = url
    this.status = status
    this.headers = headers
    this.body = body
    this.retryAfter = retryAfter
    this.isRetryable = isRetryable
  }

  static {
    this.prototype.name = 'EventSourceError'
  }
}

/** Of what the addon tells; `cause` is what a function of the caller's has thrown. */
export function toError({ kind, message, url, status, headers, body, retryAfter, retryable }, cause) {
  return new EventSourceError(message, kind, {
    cause,
    url,
    status,
    headers: headers === undefined ? undefined : toHeaders(headers),
    body,
    retryAfter: retryAfter === undefined ? undefined : retryAfter / 1000,
    isRetryable: retryable,
  })
}

/** Header fields that the addon gives as two lists. */
export function toHeaders({ names, values }) {
  const headers = new Headers()
  for (const [i, name] of names.entries()) headers.append(name, values[i])
  return headers
}
