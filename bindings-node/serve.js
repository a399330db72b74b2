// What both ways to answer a request have in common: options, positions, refusals.
import { checkText, describe } from './data.js'
import { invalid } from './errors.js'
import { END_MARK, IterableStream } from './iterable.js'
import { checkKnown, readBoolean, readFunction, readOptionalSeconds, readSeconds, readWord } from './options.js'
import { watch } from './shutdown.js'
import { HubStream } from './stream.js'
import { INTERNAL, isSubscription } from './subscription.js'

export const OPTIONS = [
  'status',
  'headers',
  'key',
  'snapshot',
  'heartbeat',
  'handoff',
  'maxAge',
  'expiresAt',
  'once',
  'onClose',
  'announcePosition',
  'refuse',
]

/** Checks the options once, when the route is made. What depends on the request is found out by `forRequest`. */
export function readServeOptions(options, what) {
  checkKnown(options, OPTIONS, what)
  const { status, headers, key, snapshot, expiresAt } = options
  if (status !== undefined && (!Number.isInteger(status) || status < 200 || status > 599)) {
    throw invalid(`status is an HTTP status, not ${describe(status)}`)
  }
  if (key != null && typeof key !== 'string' && typeof key !== 'function') {
    throw invalid(`key is text or a function of the request, not ${describe(key)}`)
  }
  const setting = {
    status: status ?? 200,
    headers: headers == null ? [] : [...new Headers(headers)],
    snapshot: readFunction(snapshot, 'snapshot'),
    handoff: readWord(options.handoff, 'handoff', ['detach', 'hold', 'off', 'require']) ?? 'detach',
    heartbeat: readOptionalSeconds(options.heartbeat, 'heartbeat'),
    maxAge: readSeconds(options.maxAge, 'maxAge'),
    once: readBoolean(options.once, 'once', true),
    onClose: readFunction(options.onClose, 'onClose'),
    announcePosition: readBoolean(options.announcePosition, 'announcePosition', true),
    refuse: readWord(options.refuse, 'refuse', ['retry', 'status']) ?? 'retry',
  }
  // Found out early where it can be.
  if (typeof expiresAt !== 'function') readExpiry(expiresAt)
  setting.forRequest = request => ({
    ...setting,
    key: readKey(typeof key === 'function' ? key(request) : key),
    expiresIn: readExpiry(typeof expiresAt === 'function' ? expiresAt(request) : expiresAt),
    snapshot: setting.snapshot && (() => snapshot(request)),
  })
  return setting
}

function readKey(key) {
  if (key == null) return undefined
  if (typeof key !== 'string') throw invalid(`key is text, not ${describe(key)}`)
  return checkText(key, 'key')
}

function readExpiry(at) {
  if (at == null) return undefined
  const time = at instanceof Date ? at.getTime() : at
  if (typeof time !== 'number' || Number.isNaN(time)) {
    throw invalid(`expiresAt is a Date, or milliseconds since 1970, not ${describe(at)}`)
  }
  return Math.max(0, Math.round(time - Date.now()))
}

/** The client's position: from the header that browsers send, else from the query. */
export function positionOf(header, url) {
  if (typeof header === 'string' && header !== '') return header
  const query = url.indexOf('?')
  if (query < 0 || !url.includes('lastEventId=', query)) return undefined
  return new URLSearchParams(url.slice(query + 1)).get('lastEventId') || undefined
}

/** Whether the client has seen the end of what it asks for. */
export const isFinished = (method, position, once) => once && method === 'GET' && position === END_MARK

export const isIterable = value =>
  typeof value === 'object' &&
  value !== null &&
  typeof (value[Symbol.asyncIterator] ?? value[Symbol.iterator]) === 'function'

/** The head of a stream, beside what others have set. */
export const HEAD = [
  ['Content-Type', 'text/event-stream'],
  ['Cache-Control', 'no-cache, no-transform'],
  ['X-Accel-Buffering', 'no'],
]

/**
 * Makes the stream of a source that `sink` is to carry: `{ stream }`, or `{ answer }` where it is refused.
 * `exchange` says what the request is: `request`, `method`, `accept`, `position`, `server`, and its `context`.
 */
export function openStream(source, sink, settings, exchange) {
  const { request, method, accept, position, server, context } = exchange
  const options = { ...settings.forRequest(request), mark: settings.once && method === 'GET', server, context }
  let stream
  if (isSubscription(source)) {
    try {
      stream = new HubStream(source, sink, options, position)
    } catch (error) {
      if (!isRefusal(error, true)) throw error
      return { answer: refusal(accept, settings.refuse, { hub: source[INTERNAL].hub, error }) }
    }
  } else {
    stream = new IterableStream(source, sink, options)
  }
  watch(stream, server)
  return { stream }
}

/** Gives up a source that is not going to be read. */
export function discard(source) {
  if (isSubscription(source) || !isIterable(source)) return
  try {
    const iterator = (source[Symbol.asyncIterator] ?? source[Symbol.iterator]).call(source)
    Promise.resolve(iterator.return?.()).catch(() => {})
  } catch {
    // Nobody is left to tell.
  }
}

const REFUSALS = new Set(['ERR_SSEHUB_DRAINING', 'ERR_SSEHUB_CLOSED'])

/** Whether an error says "come back later". A limit counts only where it is one on streams. */
export const isRefusal = (error, atStart) =>
  REFUSALS.has(error?.code) || (atStart && error?.code === 'ERR_SSEHUB_LIMIT')

/**
 * How a request is refused. EventSource never comes back after any status but 200, so that is the default for those
 * who ask for a stream.
 */
export function refusal(accept, refuse, { hub, error } = {}) {
  const retry = hub?.native.jitteredRetry() ?? 3000 + Math.floor(Math.random() * 3000)
  if (refuse === 'retry' && typeof accept === 'string' && accept.includes('text/event-stream')) {
    return { status: 200, headers: HEAD, body: `retry: ${retry}\n\n` }
  }
  const headers = [
    ['Content-Type', 'text/plain; charset=utf-8'],
    ['Retry-After', String(Math.max(1, Math.ceil(retry / 1000)))],
  ]
  const status = error?.code === 'ERR_SSEHUB_LIMIT' ? 429 : 503
  return { status, headers, body: 'No more streams at present.\n' }
}

export const wrongSource = value =>
  invalid(`a stream's source is a Subscription or an iterable, not ${describe(value)}`)
