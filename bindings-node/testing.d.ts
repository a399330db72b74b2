/**
 * For tests: one stream of an application, on a port of its own, read with deadlines.
 *
 * ```js
 * await using stream = await connect(app, '/events')
 * hub.publish('news', 'hello')
 * assert.equal((await stream.next({ timeout: 1 })).data, 'hello')
 * ```
 */
import type { Server } from 'node:http'

import type { ServerSentEvent } from './index.js'

/** An Express app or request handler, a Fastify or Koa app, anything with `fetch` (Hono), or an http.Server. */
export type App =
  | ((req: any, res: any) => unknown)
  | { callback(): (req: any, res: any) => unknown }
  | { routing(req: any, res: any): unknown; ready(): PromiseLike<unknown> }
  | { fetch(request: Request): Response | Promise<Response> }
  | Server

export interface ConnectOptions {
  method?: string | undefined
  headers?: Headers | Record<string, string> | [string, string][] | undefined
  body?: string | Uint8Array | undefined
  /** Seconds to wait for the head, and for each event; 5 by default. */
  timeout?: number | undefined
}

export interface Connection extends AsyncIterable<ServerSentEvent>, AsyncDisposable {
  readonly status: number
  readonly headers: Headers
  /** The next event; undefined when the stream has ended. Rejects when `timeout` seconds are over. */
  next(options?: { timeout?: number | undefined }): Promise<ServerSentEvent | undefined>
  /** The last event id so far. */
  readonly lastEventId: string
  /** The last reconnection time so far, in milliseconds. */
  readonly retry: number | null
  /** The body as text, where the answer is no stream. */
  text(): Promise<string>
  /** Leaves, and stops the server where this has started it. */
  close(): Promise<void>
}

/** Opens a stream. */
export function connect(app: App, path?: string, options?: ConnectOptions): Promise<Connection>
