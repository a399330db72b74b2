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
  /** The URL that answered with the redirect, without credentials. */
  from: string
  /** The URL that would be asked next: absolute, without credentials. */
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
  /**
   * The statuses that are worth another try, single or as pairs from-to; 429 and 500 to 599 by default. (Where
   * `reconnect` is not given at all: none, as in browsers.)
   */
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
   * another status than 200 is final, 429 and 5xx among them: code that was written for browsers relies on it. (The
   * Python package, which has no such code to be true to, tries again after 429 and 5xx.) `true`: requests of all
   * methods, also after 429 and 5xx, when `Retry-After` says. `false`: never. With an object, even an empty one, GET
   * requests, also after 429 and 5xx.
   */
  reconnect?: boolean | ReconnectOptions | undefined
  /** Whether redirects are followed, and which; true by default: up to 10 in a row. */
  redirects?: boolean | RedirectOptions | undefined
  /** Asked before a redirect is followed. */
  onRedirect?: ((redirect: RedirectQuestion) => boolean | Promise<boolean>) | undefined
  /**
   * The event after which the stream is complete. Of one that is nothing but a mark, and is not told: its data
   * (`'[DONE]'`) or its type (`{ event: 'end' }`). Or a function that says of an event whether it is the last. Sets
   * `finished`, and closes the source.
   */
  stopOn?: string | { data: string } | { event: string } | ((event: ServerSentEvent) => boolean) | undefined
  /**
   * Whether an orderly end without `stopOn` is an error, where it is not a reason to reconnect. By default, where
   * `stopOn` is given.
   */
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
  /**
   * Told when a hub says that events are lost. A loop gets an event of type `ssehub:gap` where this is not given.
   * What it throws ends the source; so does its promise, which nothing waits for, when it rejects.
   */
  onGap?: ((gap: Gap) => unknown) | undefined
  /** Told the text of each comment, such as a heartbeat, in its place among the events. It may fail as `onGap` may. */
  onComment?: ((comment: string) => unknown) | undefined
}

/** Certificates or keys in PEM, as text or bytes: one or several in a row, or a list of such. */
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

/** What is known about an {@link EventSourceError}: its fields of the same names. */
export interface EventSourceErrorDetails {
  /** What a function of the caller's has thrown; undefined where the failure is not one of those. */
  cause: unknown
  /** The URL after redirects, without credentials. */
  url: string | undefined
  /** The status of an answer that opened no stream. */
  status: number | undefined
  /** The header fields of that answer. */
  headers: Headers | undefined
  /** The first 64 KiB of its body. */
  body: Buffer | undefined
  /** What its `Retry-After` says, in seconds from then. */
  retryAfter: number | undefined
  /** Whether the same request may succeed later; false by default. */
  isRetryable: boolean
}

/**
 * What listeners for `error` get: the standard's plain event (HTML, 9.2.3 "Processing model"), and what is known.
 * `readyState` says whether there will be another attempt (`CONNECTING`), or none (`CLOSED`).
 */
export class ErrorEvent extends Event {
  constructor(type: string, details?: Partial<ErrorEventDetails>)
  /** What happened; undefined after the good ends: status 204, and the end of a stream that is not asked for again. */
  readonly error: EventSourceError | undefined
  /** The same in words. */
  readonly message: string
  /** The status of the answer, where that is what happened. */
  readonly status: number | undefined
  /** The same as `status`. */
  readonly code: number | undefined
  /** Attempts so far, where another one follows. */
  readonly attempt: number | undefined
  /** Seconds until that one. */
  readonly delay: number | undefined
}

/** What is known about an {@link ErrorEvent}: its fields of the same names. */
export interface ErrorEventDetails {
  /** What happened, where it is a failure. */
  error: EventSourceError | undefined
  /** By default the error's. */
  message: string
  /** By default the error's. */
  status: number | undefined
  /** Attempts so far, from 1; undefined where no other follows. */
  attempt: number | undefined
  /** Seconds until the next attempt; undefined where there is none. */
  delay: number | undefined
}

/** What listeners get, by type. All other types are events of the stream, as `MessageEvent`s. */
export interface EventSourceEventMap {
  /** A stream is open, anew after each reconnect. An event of the stream may be of this type, too. */
  open: Event
  /** An event of the stream without a type of its own. */
  message: MessageEvent
  /**
   * A stream is over, or an attempt has failed: see {@link ErrorEvent}. Not after `close()`, an abort, or `stopOn`. An
   * event of the stream that is of this type comes as a `MessageEvent`, which has `data`.
   */
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
  /** No stream is open: an attempt is under way, or the next one is waited for. */
  static readonly CONNECTING: 0
  /** A stream is open. */
  static readonly OPEN: 1
  /** There will be no more: closed, at its end, or given up. */
  static readonly CLOSED: 2
  /** {@link EventSource.CONNECTING} */
  readonly CONNECTING: 0
  /** {@link EventSource.OPEN} */
  readonly OPEN: 1
  /** {@link EventSource.CLOSED} */
  readonly CLOSED: 2
  /** The URL as it was given, serialised (HTML, 9.2.2 "The EventSource interface"). Redirects do not change it. */
  get url(): string
  /** What the option of this name said. It has no effect: there are no cookies here, and no CORS. */
  get withCredentials(): boolean
  /** Where it stands, after what listeners and loops were told: one of the constants. */
  get readyState(): 0 | 1 | 2
  /** Called when a stream is open: an event handler of the standard, one beside all listeners. */
  get onopen(): ((this: EventSource, event: Event) => any) | null
  set onopen(listener: ((this: EventSource, event: Event) => any) | null)
  /** Called with each event of the stream that has no type of its own. */
  get onmessage(): ((this: EventSource, event: MessageEvent) => any) | null
  set onmessage(listener: ((this: EventSource, event: MessageEvent) => any) | null)
  /** Called when a stream is over or an attempt has failed; and with events of the stream of type `error`. */
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
  /** `close()`, for `using`. */
  [Symbol.dispose](): void
  /** `close()`, for `await using`. */
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
