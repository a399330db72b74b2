/**
 * Streams for Express 4 and 5, Connect, Koa and node:http.
 *
 * ```js
 * app.get('/events', sse(req => hub.subscribe('news', `user:${req.user.id}`), { key: req => `user:${req.user.id}` }))
 *
 * // One response, one stream: whatever an iterable yields.
 * app.post('/chat', sse(async function* (req, res, { signal }) {
 *   for await (const token of llm(req.body, { signal })) yield token
 * }))
 *
 * // Koa
 * router.get('/events', ctx => {
 *   ctx.respond = false
 *   events(ctx.req, ctx.res)
 * })
 * ```
 */
import type { IncomingMessage, ServerResponse } from 'node:http'

import type { Context, Source, StreamOptions } from './serve.js'

export type { Context, Snapshot, Source, StreamOptions } from './serve.js'

/** What a request must have: Express's, Connect's and Node's own do. */
export type RequestLike = IncomingMessage

/**
 * Makes a request handler that answers with a stream.
 *
 * `handler` returns a Subscription, an iterable, or a promise of one. What it throws goes to `next`; without `next` it
 * is answered with 500. Where it has answered by itself, it is left alone.
 *
 * @typeParam Req the request, where it is more than an IncomingMessage: `sse<Request>(...)`
 */
export function sse<Req extends RequestLike = any, Res extends ServerResponse = any>(
  handler: (
    req: Req,
    res: Res,
    context: Context,
  ) => Source | undefined | void | Promise<Source | undefined | void>,
  options?: StreamOptions<Req>,
): (req: Req, res: Res, next?: (error?: any) => void) => void
