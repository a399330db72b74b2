import type { Data, Event, EventFields, ServerSentEvent } from './index.js'

/** How much of a topic may be replayed. Whichever limit is reached first counts. */
export interface History {
  /** The number of events; 1000 by default. 0: nothing is kept. */
  count?: number | undefined
  /** Their bytes; 1 MiB by default. */
  bytes?: number | undefined
  /** Their age, in seconds; 300 by default. `null`: no limit. */
  age?: number | null | undefined
}

/**
 * What happens to a stream that falls too far behind.
 *
 * - `disconnect`: it ends. The client comes back and resumes.
 * - `skip`: a gap event, then the oldest events that are still there.
 * - `conflate`: events that a newer one of the same topic and key has replaced are left out; if that does not help,
 *   the stream ends.
 */
export type SlowPolicy = 'disconnect' | 'skip' | 'conflate'

/** Bounds on what a hub may be asked for. */
export interface Limits {
  /** Streams at the same time; 100,000 by default. */
  connections?: number | undefined
  /** Streams at the same time with the same key; no limit by default. Over it the key's oldest stream is closed. */
  connectionsPerKey?: number | undefined
  /** Topics and patterns of one subscription; 1000 by default. */
  topicsPerSubscription?: number | undefined
  /** Bytes of one event on the wire; 256 KiB by default. */
  eventSize?: number | undefined
  /** Bytes of all histories together; 256 MiB by default. */
  historyBytes?: number | undefined
}

export interface HubOptions {
  /** A name, for your own use; see {@link Hub.get} for hubs that are found by it. */
  name?: string | undefined
  /** The history of topics that `topics` does not name. */
  history?: History | undefined
  /** Histories by topic name or pattern; the first that matches counts. */
  topics?: Record<string, History> | undefined
  /** The policy for slow readers; `disconnect` by default. */
  slow?: SlowPolicy | undefined
  /** The lag limit of a reader, in bytes; 1 MiB by default. */
  maxLag?: number | undefined
  /** The time after which clients reconnect, in milliseconds; 3000 by default. */
  retry?: number | undefined
  /** Seconds of silence after which a stream gets a comment; 15 by default. `null` or `false`: never. */
  heartbeat?: number | null | false | undefined
  limits?: Limits | undefined
  /** Used instead of `JSON.stringify`. */
  stringify?: ((value: any) => string) | undefined
}

export interface PublishOptions {
  /** The event type. */
  event?: string | null | undefined
  /** An id of your own, instead of the hub's number: 1 to 128 characters of printable ASCII. */
  id?: string | null | undefined
  /** The time after which clients reconnect, in milliseconds. */
  retry?: number | null | undefined
  /** Makes the event replaceable: see the policy `conflate`. */
  key?: string | null | undefined
}

/** Topics by pattern. Made by {@link pattern}. */
export interface TopicPattern {
  readonly pattern: string
}

/**
 * Every topic whose name matches: tokens between dots, `*` for one token, `>` at the end for one or more. A plain
 * string in `subscribe` is always an exact name, whatever characters it has.
 */
export function pattern(text: string): TopicPattern

export interface SubscribeOptions {
  /** Start after this event instead of now; `earliest`: at the oldest one retained. A client's own id goes before it. */
  lastEventId?: string | null | undefined
  /** What follows a gap event: all that is still retained, or live events only. */
  onGap?: 'replay' | 'live' | undefined
  /** Instead of the hub's. */
  slow?: SlowPolicy | undefined
  /** Instead of the hub's. */
  maxLag?: number | undefined
}

/**
 * A position over some topics. Give it to a response, or iterate it. Until it is read it holds nothing, so
 * "subscribe, read the database, answer" loses nothing and leaks nothing.
 */
export class Subscription implements AsyncIterable<ServerSentEvent> {
  private constructor()
  /** The names and patterns that it reads. */
  get topics(): string[]
  /**
   * Reads the events from its position on. Ends when the hub is closed; throws a {@link LaggedError} where the reader
   * was too slow. Leaving the loop frees everything at once. Waiting for an event does not keep the main thread's
   * process alive.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<ServerSentEvent>
}

/** Why a stream ended. `finished`: its iterable did. */
export type CloseReason =
  | 'client'
  | 'slow'
  | 'drain'
  | 'kick'
  | 'expired'
  | 'max_age'
  | 'error'
  | 'finished'

/** Who writes a stream: this thread, the engine alone, or the engine while the server keeps the socket. */
export type Mode = 'in-loop' | 'detached' | 'held'

/** A stream that has begun. */
export interface OpenInfo {
  /** Whose it is. */
  key: string | undefined
  topics: string[]
  mode: Mode
  /** Where it begins. */
  lastEventId: string
}

/** A stream that has ended. */
export interface CloseInfo extends OpenInfo {
  reason: CloseReason
  /** How long it lasted, in seconds. */
  duration: number
  /** Events handed to it. */
  events: number
  /** Their bytes. */
  bytes: number
  /** Its position. */
  lastEventId: string
}

/** Why a stream stays in-loop. */
export type HandoffRefusal =
  | 'tls'
  | 'http2'
  | 'method'
  | 'transport'
  | 'body'
  | 'buffered'
  | 'descriptors'
  | 'platform'
  | 'error'

export interface Stats {
  /** Streams to clients, now. */
  connections: number
  /** Of these, how many are the engine's alone, and how many it writes for a server that keeps their sockets. */
  detached: number
  held: number
  /** Streams that were to go to the engine and stayed in-loop, by reason. */
  handoffsRefused: Partial<Record<HandoffRefusal, number>>
  /** Subscriptions that are read in code, now. */
  subscriptions: number
  /** Topics with history or readers, now. */
  topics: number
  /** Vanished topics that are remembered by name, now. */
  tombstones: number
  /** Events in histories, now; one of several topics counts once. */
  historyFrames: number
  historyBytes: number
  /** Events published. */
  published: number
  publishedBytes: number
  /** Events handed to readers. */
  delivered: number
  deliveredBytes: number
  /** Events left out, since a newer one stood in for them. */
  conflated: number
  /** Gap events told. */
  gaps: Record<'expired' | 'unknown' | 'lagged', number>
  /** Streams opened, refused, and closed by reason. */
  opened: number
  refused: number
  closed: Record<Exclude<CloseReason, 'finished'>, number>
}

export interface TopicStats {
  name: string
  /** Readers attached to it by name. */
  readers: number
  /** Events that it retains, and their bytes. */
  frames: number
  bytes: number
  /** The id of its newest event. */
  lastEventId: string
}

export interface DisconnectOptions {
  /** Streams of this key. */
  key?: string | null | undefined
  /** Streams that read this topic. With `key`: those that are both. */
  topic?: string | null | undefined
  /** A farewell: an event, its fields, or text. */
  event?: Event | EventFields | string | undefined
}

export interface DrainOptions {
  /** Seconds after which what is left is cut; 10 by default. */
  timeout?: number | undefined
  /** Seconds over which the ends are spread, fewer where there are few streams; 5 by default. */
  spread?: number | undefined
  /** A farewell: an event, its fields, or text. */
  event?: Event | EventFields | string | undefined
}

/** Topics by name, one sequence over all of them, and the streams that read them. */
export class Hub implements AsyncDisposable {
  /**
   * A hub in memory.
   *
   * @param url where it is shared. This version has no backplanes and takes none.
   */
  constructor(url?: null, options?: HubOptions)
  constructor(options: HubOptions)

  /**
   * The hub of this name: one per process, also for worker threads, and for modules that a bundler evaluates twice.
   * The first call decides on the options.
   */
  static get(name: string, options?: Omit<HubOptions, 'name'>): Hub

  get name(): string | undefined
  /** Whether the hub takes new streams. */
  get ready(): boolean
  /** The id of the newest event. */
  get lastEventId(): string

  /**
   * Publishes one event to one topic or several. It has one id, and a reader of several of them gets it once. Never
   * waits for a client.
   *
   * @throws {TypeError} bad topics, data without JSON, an id of a wrong form
   * @throws {EventTooLargeError} an event over `limits.eventSize`
   * @throws {ClosedError} after `close()`
   */
  publish(topic: string | readonly string[], data: Data | Event, options?: PublishOptions): void
  /** The same; resolves with the event's id once the event is in the log. */
  publishAsync(topic: string | readonly string[], data: Data | Event, options?: PublishOptions): Promise<string>
  /** Waits until everything published is in the log. */
  flush(): Promise<void>

  /**
   * Subscribes to topics: exact names, or `pattern(...)`. The position is the newest event now.
   *
   * @throws {LimitError} more topics than `limits.topicsPerSubscription`
   */
  subscribe(...topics: [string | TopicPattern, ...(string | TopicPattern)[]]): Subscription
  subscribe(...args: [string | TopicPattern, ...(string | TopicPattern)[], SubscribeOptions]): Subscription

  /**
   * Ends streams at their next event boundary: after a logout, say. Those that are up to date, or have just begun, still
   * get what was published before; none of them gets anything that is published later. Returns how many.
   */
  disconnect(which: DisconnectOptions): number
  /** Readers of a topic now, those of matching patterns included. */
  subscribers(topic: string): number
  /** What the hub holds and has counted. */
  stats(): Stats
  /** The same in the text format of Prometheus. */
  metrics(): string
  /** Topics by name; at most 100 unless said otherwise. */
  topics(options?: { prefix?: string | undefined; limit?: number | undefined }): TopicStats[]

  /**
   * Tells of each stream when it is known who writes it, and exactly once of its end. What a listener throws is
   * reported as a warning.
   */
  on(name: 'open', listener: (info: OpenInfo) => unknown): this
  on(name: 'close', listener: (info: CloseInfo) => unknown): this
  off(name: 'open', listener: (info: OpenInfo) => unknown): this
  off(name: 'close', listener: (info: CloseInfo) => unknown): this

  /**
   * Refuses new streams and ends all others: each takes what was published before, then a farewell, and a time to
   * come back. Streams end by themselves when their server closes and on SIGTERM and SIGINT; this is for other ends.
   */
  drain(options?: DrainOptions): Promise<void>
  /** Ends all streams and subscriptions at once and takes no further calls. */
  close(): void
  /** Drains, then closes. */
  [Symbol.asyncDispose](): Promise<void>
}
