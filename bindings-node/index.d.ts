/**
 * ssehub: one Server-Sent Events engine. Publish from any handler, stream to every client, resume without loss.
 *
 * ```js
 * import express from 'express'
 * import { Hub } from 'ssehub'
 * import { sse } from 'ssehub/express'
 *
 * const hub = new Hub()
 * const app = express()
 * app.get('/events', sse(() => hub.subscribe('news')))
 * app.post('/news', express.json(), (req, res) => {
 *   hub.publish('news', req.body, { event: 'posted' })
 *   res.sendStatus(202)
 * })
 * ```
 */

// ---- Events ------------------------------------------------------------------------------------

/**
 * What can be the data of an event. Text is text. A `Uint8Array` is UTF-8 text. Everything else is sent as its JSON,
 * `null` as JSON `null`. What has no JSON raises a `TypeError`: `undefined`, functions, symbols, BigInt, NaN and
 * infinities (wherever in the value they are), promises, bytes that are not UTF-8, lone surrogates.
 */
export type Data = string | Uint8Array | number | boolean | null | object

/** The fields of an event. */
export interface EventFields {
  /** The payload. Without it, the block carries no data and clients dispatch nothing. */
  data?: Data
  /** The event type: one line, not beginning with `ssehub:`. Clients take an absent one for `message`. */
  event?: string | null | undefined
  /** The event id: one line without NUL. */
  id?: string | null | undefined
  /** The time after which clients reconnect, in whole milliseconds. */
  retry?: number | null | undefined
  /** A comment, of one or more lines, which clients ignore. */
  comment?: string | null | undefined
}

/** An event on its way out: checked once, then frozen. Made by {@link event}. */
export interface Event {
  /** The payload, as text. */
  readonly data: string | undefined
  readonly event: string | undefined
  readonly id: string | undefined
  readonly retry: number | undefined
  readonly comment: string | undefined
}

/**
 * Makes an event, for `publish`, for snapshots, and for what iterables yield.
 *
 * @throws {TypeError} a field of a wrong type or form: what could inject another field is never repaired
 * @throws {RangeError} a `retry` that is no whole number of milliseconds
 */
export function event(fields: EventFields | Event): Event

/** The wire bytes of one event. Throws as {@link event} does. */
export function encode(fields: EventFields | Event): Buffer

/** An event as clients get it. */
export interface ServerSentEvent {
  /** The event type, `message` where the stream names none. */
  event: string
  /** The data, its lines joined by LF. */
  data: string
  /** The last event id of the stream when the event was dispatched, empty where there was none. */
  id: string
}

// ---- Receiving ---------------------------------------------------------------------------------

export interface ParserOptions {
  /** The most bytes of one event; 16 MiB by default. */
  maxEventSize?: number | undefined
}

/**
 * An incremental parser of `text/event-stream`, exact to the WHATWG standard.
 *
 * ```js
 * const parser = new Parser()
 * for await (const chunk of socket) for (const { event, data } of parser.feed(chunk)) console.log(event, data)
 * ```
 */
export class Parser {
  constructor(options?: ParserOptions)
  /**
   * Takes the next bytes and returns the events that they complete.
   *
   * @throws {EventTooLargeError} an event over `maxEventSize`; its `events` are those completed before. Every later
   * call throws, too.
   */
  feed(chunk: Uint8Array): ServerSentEvent[]
  /** The last event id of the stream so far, ids of blocks without data included. */
  get lastEventId(): string
  /** The last reconnection time that the stream has set, in milliseconds. */
  get retry(): number | null
}

/** What {@link events} can read. Bytes only: no text. */
export type EventSourceInput =
  | { readonly body: ByteStream | null; arrayBuffer(): Promise<ArrayBuffer> }
  | ByteStream
  | AsyncIterable<Uint8Array>
  | Iterable<Uint8Array>
  // An IncomingMessage, whose chunks are typed as anything.
  | AsyncIterable<any>

/** A ReadableStream of bytes, of whichever implementation. */
export interface ByteStream {
  getReader(): {
    read(): Promise<{ done: boolean; value?: any }>
    cancel(reason?: any): Promise<void>
  }
}

/** The events of a source that is being read. */
export interface EventReader extends AsyncIterableIterator<ServerSentEvent> {
  next(): Promise<IteratorResult<ServerSentEvent, undefined>>
  /** Gives the source up, also while it is waited for. */
  return(value?: unknown): Promise<IteratorResult<ServerSentEvent, any>>
  [Symbol.asyncIterator](): EventReader
  /** The last event id so far. */
  readonly lastEventId: string
  /** The last reconnection time so far, in milliseconds. */
  readonly retry: number | null
}

/**
 * The events of a response that is already there: a `Response`, a `ReadableStream`, an `IncomingMessage`, or any
 * iterable of bytes. Leaving the loop gives the source up. Status and content type are the caller's to check.
 *
 * ```js
 * for await (const { event, data } of events(await fetch(url))) console.log(event, data)
 * ```
 */
export function events(source: EventSourceInput, options?: EventsOptions): EventReader

export interface EventsOptions extends ParserOptions {
  /** Gives the source up when it aborts, at once. The loop then throws its reason. */
  signal?: AbortSignal | undefined
}

/**
 * Bytes in, events out: `response.body.pipeThrough(new EventSourceStream())`. To be able to give up, hand `pipeThrough`
 * a signal: `pipeThrough(new EventSourceStream(), { signal })`.
 */
export class EventSourceStream extends TransformStream<Uint8Array, ServerSentEvent> {
  constructor(options?: ParserOptions)
}

export * from './eventsource.js'
export * from './hub.js'

// ---- Errors ------------------------------------------------------------------------------------

/** The root of what goes wrong in the engine. Bad arguments are `TypeError` and `RangeError`. */
export class SSEHubError extends Error {
  constructor(message: string, code?: string, options?: { cause?: unknown })
  /** `ERR_SSEHUB_...`: what to compare. */
  code: string
}

/** An event over the size limit of the hub or of the parser. */
export class EventTooLargeError extends SSEHubError {
  constructor(message: string, options?: { cause?: unknown })
  /** From the parser: the events of the same chunk that were complete before. */
  events?: ServerSentEvent[]
}

/** A limit is reached: on streams, or on topics of a subscription. */
export class LimitError extends SSEHubError {
  constructor(message: string, options?: { cause?: unknown })
}

/** The hub is ending its streams and takes no new ones. */
export class DrainingError extends SSEHubError {
  constructor(message: string, options?: { cause?: unknown })
}

/** The hub is closed. */
export class ClosedError extends SSEHubError {
  constructor(message: string, options?: { cause?: unknown })
}

/** A subscription that was read too slowly. */
export class LaggedError extends SSEHubError {
  constructor(message: string, options?: { cause?: unknown })
}

/** A stream with `handoff: 'require'` whose socket cannot be taken. */
export class HandoffError extends SSEHubError {
  constructor(message: string, options?: { cause?: unknown })
}

/** The version of the package and of its engine. */
export const version: string
