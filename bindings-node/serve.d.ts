// What `ssehub/express`, `ssehub/fastify` and `ssehub/web` have in common.
import type { CloseInfo, Data, Event, HandoffError, Subscription } from './index.js'

/** What a stream sends: the events of a subscription, or what an iterable yields. */
export type Source = Subscription | AsyncIterable<Data | Event> | (Iterable<Data | Event> & object)

/** What a snapshot gives: an event, several, or data. */
export type Snapshot = Data | Event | readonly Event[] | AsyncIterable<Data | Event> | undefined

/** What a function that makes a source is given. */
export interface Context {
  /** Aborts when the client leaves, and when the stream is ended from elsewhere. */
  readonly signal: AbortSignal
}

/** Options of streams; `Req` is the request. */
export interface StreamOptions<Req> {
  /** The status of the response; 200 by default. */
  status?: number | undefined
  /** More headers, or other values for those of a stream. */
  headers?: Headers | Record<string, string> | [string, string][] | undefined
  /** Whose stream it is: limits per key count it, and `hub.disconnect({ key })` ends it. */
  key?: string | null | undefined | ((request: Req) => string | null | undefined)
  /**
   * Makes what a client needs before the stream: the present state. Its position is taken first, so nothing is lost
   * in between. Called on a first connect, and instead of a replay after a gap; not where the client resumes.
   */
  snapshot?: ((request: Req) => Snapshot | Promise<Snapshot>) | undefined
  /** Seconds of silence after which a comment is sent. `null` or `false`: never. The hub's by default. */
  heartbeat?: number | null | false | undefined
  /**
   * Who owns the socket of a subscription's stream, once its head and its first bytes are out. The streams of iterables
   * are always the request's.
   *
   * - `detach` (default): the engine alone. For the server the request is over, and has gone well: `finish` and `close`
   *   of the response come now, `onClose` and the signal tell of the end of the stream. With a server that closes, all
   *   detached streams of the hub end; the others come back at once. The head says `Connection: close`.
   * - `hold`: the server, and the engine writes. The request lasts as long as the stream.
   * - `off`: this thread writes.
   * - `require`: `detach`, and a {@link HandoffError} where that is impossible.
   *
   * Where a socket cannot be taken (TLS in Node, HTTP/2, a middleware that rewrites the body, Windows), this thread
   * writes the same bytes. `hub.stats().handoffsRefused` counts these by reason; `NODE_DEBUG=ssehub` tells the remedy.
   */
  handoff?: 'detach' | 'hold' | 'off' | 'require' | undefined
  /** Seconds after which the stream ends, give or take a tenth. The client comes back and resumes. */
  maxAge?: number | undefined
  /** When the client's right to the stream ends: a Date, or milliseconds since 1970. */
  expiresAt?: Date | number | null | undefined | ((request: Req) => Date | number | null | undefined)
  /**
   * Whether an iterable that has been read to its end is over for good: its stream ends with a mark, and a client
   * that reconnects with it is told not to come back. True by default; GET only.
   */
  once?: boolean | undefined
  /** Called once, when the stream has ended. */
  onClose?: ((info: CloseInfo) => unknown) | undefined
  /** Whether a stream begins with its position, so that its first reconnect can resume. True by default. */
  announcePosition?: boolean | undefined
  /**
   * How clients are refused over a limit or while the hub drains: told when to come back (`retry`, by default, where
   * they ask for `text/event-stream`), or by a status with `Retry-After`: 429 over a limit, 503 at the end. EventSource gives up after any status
   * but 200.
   */
  refuse?: 'retry' | 'status' | undefined
}
