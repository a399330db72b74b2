// What the declarations allow and refuse. Checked by `npm run types`, never run.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'

import Fastify from 'fastify'
import {
  ErrorEvent,
  EventSource,
  EventSourceError,
  EventSourceStream,
  EventTooLargeError,
  HandoffError,
  Hub,
  Parser,
  SSEHubError,
  encode,
  event,
  events,
  pattern,
} from 'ssehub'
import type { CloseInfo, Event, EventSourceInit, Gap, ServerSentEvent, Stats, Subscription } from 'ssehub'
import { sse } from 'ssehub/express'
import ssehub from 'ssehub/fastify'
import { connect } from 'ssehub/testing'
import { toResponse } from 'ssehub/web'

// Events
const made: Event = event({ data: { a: 1 }, event: 'e', id: '1', retry: 1, comment: 'c' })
const wire: Buffer = encode(made)
encode({ data: new Uint8Array([97]) })
encode({ data: null, retry: null })
// @ts-expect-error data that has no JSON
event({ data: undefined })
// @ts-expect-error data that has no JSON
event({ data: 1n })
// @ts-expect-error an unknown field
event({ dat: 'x' })
// @ts-expect-error a type is text
event({ event: 1 })
// @ts-expect-error frozen
made.data = 'x'

// Parsing
const parser = new Parser({ maxEventSize: 1024 })
const list: ServerSentEvent[] = parser.feed(wire)
const retry: number | null = parser.retry
// @ts-expect-error text is no bytes
parser.feed('text')
// @ts-expect-error an unknown option
new Parser({ max: 1 })
async function read(response: Response, message: IncomingMessage) {
  for await (const { event: type, data, id } of events(response)) {
    const texts: string[] = [type, data, id]
    void texts
  }
  const reader = events(message, { maxEventSize: 1 })
  const step = await reader.next()
  if (!step.done) step.value.data.trim()
  await reader.return()
  if (response.body) events(response.body)
  const stream: ReadableStream<ServerSentEvent> | undefined = response.body?.pipeThrough(new EventSourceStream())
  for await (const { data } of events(response, { signal: AbortSignal.timeout(1), maxEventSize: 10 })) data.trim()
  void stream
  // @ts-expect-error no source
  events('text')
}

// EventSource
async function sources(url: string) {
  const source = new EventSource(url)
  source.onopen = event => event.type.trim()
  source.onmessage = event => event.data.trim() + event.lastEventId + event.origin
  source.onmessage = null
  source.onerror = ({ error, status, delay }) => {
    if (error?.kind === 'status' && error.isRetryable) return [status?.toFixed(), delay, error.headers?.get('a'), error.body?.length]
    return source.readyState === EventSource.CLOSED || source.CONNECTING
  }
  source.addEventListener('named', event => JSON.parse(event.data))
  source.addEventListener('error', (event: ErrorEvent) => event.message, { once: true })
  source.addEventListener('open', { handleEvent: event => event.type })
  source.removeEventListener('named', null)
  const target: EventTarget = source
  const init: EventSourceInit = {
    withCredentials: true,
    method: 'POST',
    json: { a: 1 },
    headers: async ({ attempt, status, signal }) => ({ authorization: `${attempt} ${status} ${signal.aborted}`, 'x-a': ['b', 'c'] }),
    reconnect: { when: 'always', statuses: [429, [500, 599]], delay: 1, maxRetries: 3 },
    redirects: { max: 3 },
    onRedirect: ({ to }) => to.startsWith('https:'),
    stopOn: ({ data }) => data === '[DONE]',
    signal: AbortSignal.timeout(1),
    timeout: null,
    ca: ['pem', new Uint8Array()],
    proxy: false,
    onGap: (gap: Gap) => gap.reason === 'expired',
    onComment: async comment => { await Promise.resolve(comment.trim()) },
  }
  await using other = new EventSource(new URL(url), init)
  for await (const { event: type, data, id } of other) [type, data, id].join().trim()
  const failure: EventSourceError | undefined = await other.closed
  const root: SSEHubError | undefined = failure
  const head: Headers | undefined = other.response?.headers
  new EventSource(url, { headers: new Headers() }).restart()
  new EventSource(url, { headers: [['a', 'b']], body: new URLSearchParams(), stopOn: { event: 'end' } }).close()
  // @ts-expect-error an unknown option
  new EventSource(url, { header: {} })
  // @ts-expect-error a state cannot be set
  source.readyState = 2
  // @ts-expect-error an unknown word
  new EventSource(url, { reconnect: { when: 'sometimes' } })
  return [target, root, head]
}

// The hub
const hub = new Hub()
new Hub(null, { name: 'x' })
new Hub({
  history: { count: 1, bytes: 1, age: null },
  topics: { 'a.*': { count: 0 } },
  slow: 'conflate',
  maxLag: 1,
  retry: 1,
  heartbeat: false,
  limits: { connections: 1, connectionsPerKey: 1, topicsPerSubscription: 1, eventSize: 1, historyBytes: 1 },
  stringify: JSON.stringify,
})
// @ts-expect-error no backplanes yet
new Hub('redis://localhost')
// @ts-expect-error an unknown option
new Hub({ hist: {} })
// @ts-expect-error an unknown policy
new Hub({ slow: 'wait' })
const shared: Hub = Hub.get('shared', { retry: 1 })
const nothing: void = hub.publish('t', { a: 1 }, { event: 'e', id: '1', retry: 1, key: 'k' })
hub.publish(['a', 'b'] as const, made)
const id: Promise<string> = hub.publishAsync('t', 'x')
// @ts-expect-error no data
hub.publish('t')
// @ts-expect-error no data
hub.publish('t', undefined)
// @ts-expect-error an unknown option
hub.publish('t', 'x', { type: 'e' })
const subscription: Subscription = hub.subscribe('a', pattern('b.*'), { lastEventId: 'earliest', onGap: 'live' })
// @ts-expect-error no topic
hub.subscribe()
// @ts-expect-error an unknown option
hub.subscribe('a', { last: 1 })
async function iterate() {
  for await (const { data } of subscription) data.trim()
  await using own = new Hub()
  await own.drain({ timeout: 1, spread: 0, event: { data: 'bye' } })
}
const count: number = hub.disconnect({ key: 'k', topic: 't', event: made }) + hub.subscribers('t')
const stats: Stats = hub.stats()
const slow: number = stats.closed.slow + stats.gaps.lagged
hub.topics({ prefix: 'a' }).map(topic => topic.name)
hub.on('close', (info: CloseInfo) => info.reason === 'slow').off('open', () => {})
// @ts-expect-error an unknown name
hub.on('opened', () => {})

// Express, without its types
interface User {
  id: string
}
type Request = IncomingMessage & { user: User; body: unknown }
const handler = sse((req: Request) => hub.subscribe('news', `user:${req.user.id}`), {
  key: req => `user:${req.user.id}`,
  snapshot: async req => event({ data: req.user, event: 'snapshot' }),
  expiresAt: () => new Date(),
  onClose: info => info.duration,
})
sse<Request>(async req => {
  req.user.id.trim()
  return hub.subscribe('t')
})
sse(async function* (_req: Request, _res: ServerResponse, { signal }) {
  if (!signal.aborted) yield 'token'
  yield { a: 1 }
  yield event({ data: 'x' })
})
sse((_req, res) => {
  res.end()
})
// @ts-expect-error text is no source
sse(() => 'text')
// @ts-expect-error an unknown option
sse(() => hub.subscribe('t'), { heartbeats: 1 })
// @ts-expect-error the request has no such property
sse((req: Request) => hub.subscribe('t'), { key: req => req.usr.id })
createServer(sse(() => hub.subscribe('t')))
// As a framework without types of ours would take it.
declare function route(path: string, handle: (req: any, res: any, next: (error?: any) => void) => void): void
route('/events', handler)

sse(() => hub.subscribe('t'), { handoff: 'hold' })
// @ts-expect-error an unknown word
sse(() => hub.subscribe('t'), { handoff: 'take' })

// Fastify
async function fastify() {
  const app = Fastify()
  await app.register(ssehub)
  app.get<{ Querystring: { user: string } }>('/', (request, reply) => {
    const { user } = request.query
    return reply.sse(hub.subscribe('t', user), { key: user, handoff: 'require' })
  })
  app.get('/key', async (_request, reply) => reply.sse(hub.subscribe('t'), { key: request => request.ip }))
  app.post('/', (_request, reply) => reply.sse(({ signal }) => (signal.aborted ? [] : ['a', { b: 1 }])))
  // @ts-expect-error no source
  app.get('/text', (_request, reply) => reply.sse('text'))
  await connect(app)
}

// Web
async function web(request: globalThis.Request) {
  const response: Response = toResponse(request, hub.subscribe('t'), { key: r => r.headers.get('x') })
  toResponse(request, async function* ({ signal }) {
    if (!signal.aborted) yield 1
  })
  toResponse(request, ['a', { b: 1 }])
  // @ts-expect-error no source
  toResponse(request, 7)
  // @ts-expect-error no request
  toResponse({}, [])
  return response
}

// Testing
async function tests() {
  await using stream = await connect(handler, '/events', { headers: { a: 'b' }, timeout: 1 })
  const next: ServerSentEvent | undefined = await stream.next({ timeout: 1 })
  await connect(createServer())
  await connect({ fetch: web })
  // @ts-expect-error no app
  await connect('app')
  return next
}

// Errors
function errors(error: unknown) {
  if (error instanceof EventTooLargeError) return error.events?.length
  if (error instanceof HandoffError) return stats.handoffsRefused.tls
  if (error instanceof SSEHubError) return error.code.length
  return undefined
}

void [list, retry, sources, shared, nothing, id, count, slow, read, iterate, fastify, web, tests, errors]
