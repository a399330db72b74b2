/**
 * Streams for Fastify 5.
 *
 * ```js
 * await app.register(ssehub)
 *
 * app.get('/events', (request, reply) => reply.sse(hub.subscribe('news', `user:${request.user.id}`), { key: request.user.id }))
 *
 * // One response, one stream: whatever an iterable yields.
 * app.post('/chat', (request, reply) => reply.sse(({ signal }) => llm(request.body, { signal })))
 * ```
 */
import type { FastifyPluginCallback, FastifyRequest } from 'fastify'

import type { Context, Source, StreamOptions } from './serve.js'

export type { Context, Snapshot, Source, StreamOptions } from './serve.js'

declare module 'fastify' {
  interface FastifyReply {
    /**
     * Answers with a stream: of a Subscription, an iterable, or a function that makes one. Return what it returns.
     *
     * All hooks run. With a socket that goes to the engine, `onResponse` comes at the hand-off. Errors before the first
     * bytes go to the error handler.
     */
    sse(source: Source | ((context: Context) => Source), options?: StreamOptions<FastifyRequest>): this
  }
}

/** The plugin: it decorates replies with `sse`. */
declare const ssehub: FastifyPluginCallback
export default ssehub
