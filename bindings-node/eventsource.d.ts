import type { ServerSentEvent } from './index.js'
import { SSEHubError } from './index.js'

/** What can be header fields. A name may have several values; those that are `undefined` are left out. */
export type HeaderFields =
  | Iterable<readonly [string, string]>
  | { readonly [name: string]: string | number | readonly string[] | undefined }

/** What is known when header fields are asked for. */
export interface HeadersQuestion {
  /** The number of the attempt that is about to be made, from 1. */
  attempt: number
  /** The status of the last answer, where it opened no stream: 401, for example. */
  status: number | undefined
  /** Aborted when the source is closed. */
  signal: AbortSignal
}

/** A redirect that is about to be followed. */
export interface RedirectQuestion {
  from: string
  to: string
  /** 301, 302, 303, 307 or 308. */
  status: number
  /** The method of the request that would be made. */
  method: string
  /** Aborted when the source is closed. */
  signal: AbortSignal
}

/** Whether, when and how often to reconnect. Times are in seconds. */
export interface ReconnectOptions {
  /**
   * After what: errors and orderly ends of GET requests (`get`, the default) or of all (`always`), errors only
   * (`error`), nothing (`never`).
   */
  when?: 'get' | 'always' | 'error' | 'never' | undefined
  /** Whether a first attempt that fails is repeated, too; true by default. */
  first?: boolean | undefined
  /** The statuses that are worth another try, single or as pairs from-to; 429 and 500 to 599 by default. */
  statuses?: readonly (number | readonly [number, number])[] | undefined
  /** The first delay is a random one up to this, each further one in a row up to twice as much; 1 by default. */
  delay?: number | undefined
  /** The limit of that growth; 30 by default. */
  maxDelay?: number | undefined
  /** A connection that lasted so long was a good one: delays start small again; 5 by default. */
  resetAfter?: number | undefined
  /**
   * The least delay that the server can ask for with `retry:` and `Retry-After`; 0.1 by default. Delays that no server
   * has asked for may be shorter.
   */
  minServerDelay?: number | undefined
  /**
   * The longest that the server can ask for; 300 by default. A random part comes on top, so that not all that were told
   * the same come back together: up to a quarter after `retry:`, a tenth after `Retry-After`, or what `delay` and
   * `maxDelay` allow if that is more.
   */
  maxServerDelay?: number | undefined
  /** How many tries in a row without a good connection among them; no limit by default. */
  maxRetries?: number | undefined
  /** How long in all without a good connection; no limit by default. */
  maxElapsed?: number | undefined
}

/** Which redirects are followed. Never one from `https:` to `http:`. */
export interface RedirectOptions {
  /** How many in a row; 10 by default. 0: none. */
  max?: number | undefined
  /** Whether a body may be sent to another origin than the one it was meant for; false by default. */
  foreignBody?: boolean | undefined
}

/** A hub's word that events are lost. */
export interface Gap {
  /** The position after which events are missing. */
  lastEventId: string
  /** Why: too old, of an unknown place, or the reader was too slow. */
  reason: 'expired' | 'unknown' | 'lagged'
}

/** Times are in seconds. */
export interface EventSourceInit {
  /** Kept for browser code. There are no cookies here. */
  withCredentials?: boolean | undefined
  /** `GET` by default, `POST` where there is a body. */
  method?: string | undefined
  /**
   * Header fields; a function is called before each attempt, and once more after a 401: for tokens that expire.
   * They replace those that are sent by themselves: Accept, Cache-Control, Accept-Encoding, User-Agent.
   */
  headers?: HeaderFields | ((question: HeadersQuestion) => HeaderFields | undefined | Promise<HeaderFields | undefined>) | undefined
  /** The body, the same at each attempt. */
  body?: string | URLSearchParams | ArrayBufferLike | ArrayBufferView | undefined
  /** The body as JSON. */
  json?: unknown
  /** Where to start: the id of the last event that was seen in an earlier life. */
  lastEventId?: string | undefined
  /**
   * By default as browsers do it: GET requests reconnect when their connection fails or ends, and an answer with
   * another status than 200 is final. `true`: requests of all methods, also after 429 and 5xx, when `Retry-After`
   * says. `false`: never. With an object, GET requests, also after 429 and 5xx.
   */
  reconnect?: boolean | ReconnectOptions | undefined
  redirects?: boolean | RedirectOptions | undefined
  /** Asked before a redirect is followed. */
  onRedirect?: ((redirect: RedirectQuestion) => boolean | Promise<boolean>) | undefined
  /**
   * The event after which the stream is complete. Of one that is nothing but a mark, and is not told: its data
   * (`'[DONE]'`) or its type (`{ event: 'end' }`). Or a function that says of an event whether it is the last. Sets
   * `finished`, and closes the source.
   */
  stopOn?: string | { data: string } | { event: string } | ((event: ServerSentEvent) => boolean) | undefined
  /** Whether an orderly end without `stopOn` is an error, where it is not a reason to reconnect. */
  requireFinish?: boolean | undefined
  /** Closes the source when it aborts. A loop then throws its reason. */
  signal?: AbortSignal | undefined
  /** The most bytes of one event; 16 MiB by default. */
  maxEventSize?: number | undefined
  /** The longest time without a single byte in either direction. No limit by default. */
  timeout?: number | null | undefined
  /** For the connection to stand; 10 by default. `null`: as long as the system takes. */
  connectTimeout?: number | null | undefined
  /** Whether answers must be `text/event-stream`; true by default. */
  checkContentType?: boolean | undefined
  /** Whether to ask for a compressed body; false by default. */
  compression?: boolean | undefined
  /** True: HTTP/2 only, without TLS by prior knowledge. False: HTTP/1.1 only. By default, what the server prefers. */
  http2?: boolean | undefined
  /** PEM certificates to trust, in place of the system's. */
  ca?: Pem | undefined
  /** PEM with our certificate chain, shown to the URL's own origin only. */
  cert?: Pem | undefined
  /** PEM with the private key, where it is not in `cert`. */
  key?: Pem | undefined
  /** False accepts any certificate: for tests. */
  verify?: boolean | undefined
  /** `http:`, `https:`, `socks5:` or `socks5h:`; false: none. By default, HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY. */
  proxy?: string | false | null | undefined
  /** The path of a server's socket. The URL then gives `Host` and path only. */
  unixSocket?: string | undefined
  /** Told when a hub says that events are lost. A loop gets an event of type `ssehub:gap` where this is not given. */
  onGap?: ((gap: Gap) => void) | undefined
}

export type Pem = string | Uint8Array | readonly (string | Uint8Array)[]

/** The head of a stream. */
export interface SourceResponse {
  readonly status: number
  readonly headers: Headers
  /** Where the stream comes from, redirects followed. */
  readonly url: string
  /** `HTTP/1.1`, for example. */
  readonly http: string
  /** The other end of the connection: the server, or a proxy. */
  readonly remote: string | undefined
  /** Attempts so far, from 1. */
  readonly attempt: number
}

/** What can go wrong. `ended` and `restarted` are reasons to reconnect, and never end a source. */
export type EventSourceErrorKind =
  | 'connect'
  | 'timeout'
  | 'proxy'
  | 'tls'
  | 'protocol'
  | 'status'
  | 'content_type'
  | 'redirect'
  | 'interrupted'
  | 'ended'
  | 'unfinished'
  | 'decode'
  | 'event_too_large'
  | 'callback'
  | 'restarted'
  | 'internal'

/** A failed attempt, or what ended a source. */
export class EventSourceError extends SSEHubError {
  constructor(message: string, kind: EventSourceErrorKind, details?: Partial<EventSourceErrorDetails>)
  readonly kind: EventSourceErrorKind
  /** Where it happened: the URL after redirects, without credentials. */
  readonly url: string | undefined
  /** The status of the answer, where there was one that is no stream. */
  readonly status: number | undefined
  /** Its header fields. */
  readonly headers: Headers | undefined
  /** The first 64 KiB of its body. */
  readonly body: Buffer | undefined
  /** What its `Retry-After` says, in seconds from then. */
  readonly retryAfter: number | undefined
  /** Whether the same request may succeed later. */
  readonly isRetryable: boolean
}

export interface EventSourceErrorDetails {
  cause: unknown
  url: string | undefined
  status: number | undefined
  headers: Headers | undefined
  body: Buffer | undefined
  retryAfter: number | undefined
  isRetryable: boolean
}

/** What listeners for `error` get. `readyState` says whether there will be another attempt. */
export class ErrorEvent extends Event {
  constructor(type: string, details?: Partial<ErrorEventDetails>)
  /** What happened; undefined after status 204. */
  readonly error: EventSourceError | undefined
  readonly message: string
  readonly status: number | undefined
  /** The same as `status`. */
  readonly code: number | undefined
  /** Attempts so far, where another one follows. */
  readonly attempt: number | undefined
  /** Seconds until that one. */
  readonly delay: number | undefined
}

export interface ErrorEventDetails {
  error: EventSourceError | undefined
  message: string
  status: number | undefined
  attempt: number | undefined
  delay: number | undefined
}

/** What listeners get, by type. All other types are events of the stream. */
export interface EventSourceEventMap {
  open: Event
  message: MessageEvent
  error: ErrorEvent
}

type Listener<E> = ((this: EventSource, event: E) => any) | { handleEvent(event: E): any }
type Once = { capture?: boolean; once?: boolean; passive?: boolean; signal?: AbortSignal }

/**
 * A stream of events that comes back by itself: the interface of browsers, and a loop.
 *
 * ```js
 * const source = new EventSource('https://example.com/events')
 * source.addEventListener('posted', event => console.log(event.lastEventId, JSON.parse(event.data)))
 *
 * for await (const { event, data, id } of new EventSource(url, { json: prompt, stopOn: '[DONE]' })) console.log(data)
 * ```
 *
 * Events that come before anybody listens or loops are kept, and while a loop is busy no more are read than fit into
 * about a megabyte. An open source keeps the process alive.
 */
export class EventSource extends EventTarget implements AsyncIterable<ServerSentEvent> {
  /**
   * @throws {DOMException} a `SyntaxError`: the URL is not an absolute one
   * @throws {TypeError} an option that is unknown, or of a wrong type
   * @throws {RangeError} a number that cannot be
   */
  constructor(url: string | URL, options?: EventSourceInit)
  static readonly CONNECTING: 0
  static readonly OPEN: 1
  static readonly CLOSED: 2
  readonly CONNECTING: 0
  readonly OPEN: 1
  readonly CLOSED: 2
  get url(): string
  get withCredentials(): boolean
  get readyState(): 0 | 1 | 2
  get onopen(): ((this: EventSource, event: Event) => any) | null
  set onopen(listener: ((this: EventSource, event: Event) => any) | null)
  get onmessage(): ((this: EventSource, event: MessageEvent) => any) | null
  set onmessage(listener: ((this: EventSource, event: MessageEvent) => any) | null)
  get onerror(): ((this: EventSource, event: ErrorEvent) => any) | null
  set onerror(listener: ((this: EventSource, event: ErrorEvent) => any) | null)
  /** Cuts the connection, at once, and frees all. */
  close(): void
  addEventListener<K extends keyof EventSourceEventMap>(type: K, listener: Listener<EventSourceEventMap[K]> | null, options?: boolean | Once): void
  addEventListener(type: string, listener: Listener<MessageEvent> | null, options?: boolean | Once): void
  removeEventListener<K extends keyof EventSourceEventMap>(type: K, listener: Listener<EventSourceEventMap[K]> | null, options?: boolean | { capture?: boolean }): void
  removeEventListener(type: string, listener: Listener<MessageEvent> | null, options?: boolean | { capture?: boolean }): void
  /**
   * The events, one by one; listeners are told as the loop goes on. Ends where no attempt follows; throws an
   * {@link EventSourceError} where that is a failure. Leaving the loop closes the source. Loops over one source share
   * its events.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<ServerSentEvent> & AsyncDisposable
  [Symbol.dispose](): void
  [Symbol.asyncDispose](): Promise<void>
  /** The last event id, as far as events were told. */
  get lastEventId(): string
  /** Whether the stream is complete: `stopOn`, or status 204. */
  get finished(): boolean
  /** The head of the stream that is open, or was last. */
  get response(): SourceResponse | undefined
  /** Resolves when the source is closed, by whomever; with the error, if that was one. */
  get closed(): Promise<EventSourceError | undefined>
  /** A new connection, now: without the delay before it, or in place of the one that is open. */
  restart(): void
}
