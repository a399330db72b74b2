/**
 * Streams for everything that answers a Request with a Response: Hono, Next.js route handlers, plain fetch servers.
 *
 * ```js
 * app.get('/events', c => toResponse(c.req.raw, hub.subscribe('news')))
 * export const GET = request => toResponse(request, hub.subscribe('news'))
 * ```
 */
import type { Context, Source, StreamOptions } from './serve.js'

export type { Context, Snapshot, Source, StreamOptions } from './serve.js'

/** What a request must have. */
export interface RequestLike {
  readonly method: string
  readonly url: string
  readonly headers: { get(name: string): string | null }
  readonly signal?: AbortSignal | null | undefined
}

/**
 * A Response whose body is the stream of a source: a Subscription, an iterable, or a function that makes one. An
 * iterable runs when the body is first read. Cancelling the body frees everything at once.
 */
export function toResponse<Req extends RequestLike>(
  request: Req,
  source: Source | ((context: Context) => Source),
  options?: StreamOptions<Req>,
): Response
