// The options of an EventSource: names, types and ranges are checked here, and named as the addon names them.
import { types } from 'node:util'

import { checkText, describe, toText } from './data.js'
import { invalid, outOfRange } from './errors.js'
import {
  checkKnown,
  readBoolean,
  readCount,
  readFunction,
  readOptionalSeconds,
  readSeconds,
  readWord,
} from './options.js'

const NAMES = [
  'withCredentials',
  'method',
  'headers',
  'body',
  'json',
  'lastEventId',
  'reconnect',
  'redirects',
  'stopOn',
  'requireFinish',
  'signal',
  'maxEventSize',
  'timeout',
  'connectTimeout',
  'checkContentType',
  'compression',
  'http2',
  'ca',
  'cert',
  'key',
  'verify',
  'proxy',
  'unixSocket',
  'onGap',
  'onComment',
  'onRedirect',
]

/** What the addon is told, and the functions that are to be asked later. */
export function readSourceOptions(url, options) {
  if (typeof options === 'object' && options !== null && 'fetch' in options) {
    throw invalid(
      'EventSource has no option fetch: give method, headers (also as a function, called for each attempt), body, ' +
        'proxy, ca ... instead, or read the Response of your own fetch with events(response)',
    )
  }
  checkKnown(options, NAMES, 'EventSource')
  const { headers } = options
  const redirects = readRedirects(options.redirects)
  const stopOn = readStopOn(options.stopOn)
  const body = readBody(options)
  const functions = {
    headers: typeof headers === 'function' ? headers : undefined,
    stopOn: stopOn.test,
    onGap: readFunction(options.onGap, 'onGap'),
    onComment: readFunction(options.onComment, 'onComment'),
    onRedirect: readFunction(options.onRedirect, 'onRedirect'),
  }
  const settings = {
    url,
    method: readMethod(options.method, body),
    headers: withType(readHeaders(functions.headers === undefined ? headers : undefined), body?.type),
    body: body?.bytes,
    lastEventId: readTextOr(options.lastEventId, 'lastEventId'),
    reconnect: readReconnect(options.reconnect),
    ...redirects,
    askRedirects: functions.onRedirect !== undefined,
    stopOnData: stopOn.data,
    stopOnEvent: stopOn.event,
    requireFinish: readBoolean(options.requireFinish, 'requireFinish', options.stopOn !== undefined),
    askHeaders: functions.headers !== undefined,
    comments: functions.onComment !== undefined,
    compression: readBoolean(options.compression, 'compression', false),
    checkContentType: readBoolean(options.checkContentType, 'checkContentType', true),
    maxEventSize: readMaxEventSize(options.maxEventSize),
    connectTimeout: readOptionalSeconds(options.connectTimeout, 'connectTimeout'),
    idleTimeout: readOptionalSeconds(options.timeout, 'timeout'),
    http2: readBoolean(options.http2, 'http2', undefined),
    ca: readPem(options.ca, 'ca'),
    clientCert: readClientCert(options),
    insecure: !readBoolean(options.verify, 'verify', true),
    proxy: options.proxy === false || options.proxy === null ? '' : readTextOr(options.proxy, 'proxy'),
    unixSocket: readTextOr(options.unixSocket, 'unixSocket'),
  }
  return { settings, functions }
}

/** The URL of a stream. */
export function readUrl(url) {
  try {
    return new URL(url)
  } catch {
    throw new DOMException(`not an absolute URL: ${String(url)}`, 'SyntaxError')
  }
}

/** Header fields of whatever `fetch` takes as such, as two lists. Several values of one name may be an array. */
export function readHeaders(headers) {
  const names = []
  const values = []
  if (headers == null) return { names, values }
  if (typeof headers !== 'object') {
    throw invalid(`headers are an object, Headers, or a function that gives them, not ${describe(headers)}`)
  }
  const pairs = typeof headers[Symbol.iterator] === 'function' ? headers : Object.entries(headers)
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw invalid(`a header is a pair of name and value, not ${describe(pair)}`)
    }
    const [name, value] = pair
    if (value === undefined) continue
    for (const one of Array.isArray(value) ? value : [value]) {
      if (typeof one !== 'string' && typeof one !== 'number') {
        throw invalid(`the value of the header ${name} is text, not ${describe(one)}`)
      }
      names.push(checkText(String(name), 'headers'))
      values.push(checkText(String(one), 'headers'))
    }
  }
  return { names, values }
}

function withType(headers, type) {
  if (type !== undefined && !headers.names.some(name => name.toLowerCase() === 'content-type')) {
    headers.names.push('Content-Type')
    headers.values.push(type)
  }
  return headers
}

function readBody({ body, json }) {
  if (json !== undefined) {
    if (body != null) throw invalid('json and body are two ways to give the body: give one of them')
    // Text is a JSON value, too.
    const text = typeof json === 'string' ? JSON.stringify(json) : toText(json)
    return { bytes: Buffer.from(text), type: 'application/json' }
  }
  if (body == null) return undefined
  if (typeof body === 'string') {
    return { bytes: Buffer.from(checkText(body, 'body')), type: 'text/plain;charset=UTF-8' }
  }
  if (body instanceof URLSearchParams) {
    return { bytes: Buffer.from(body.toString()), type: 'application/x-www-form-urlencoded;charset=UTF-8' }
  }
  if (types.isAnyArrayBuffer(body)) return { bytes: Buffer.from(body), type: undefined }
  if (ArrayBuffer.isView(body)) {
    return { bytes: Buffer.from(body.buffer, body.byteOffset, body.byteLength), type: undefined }
  }
  throw invalid(`body is text, bytes or URLSearchParams, which can be sent again, not ${describe(body)}`)
}

function readMethod(method, body) {
  if (method === undefined) return body === undefined ? 'GET' : 'POST'
  if (typeof method !== 'string') throw invalid(`method is text, not ${describe(method)}`)
  // As fetch does: these in any case, others as they are.
  return /^(?:delete|get|head|options|post|put)$/i.test(method) ? method.toUpperCase() : checkText(method, 'method')
}

function readStopOn(stopOn) {
  if (stopOn === undefined) return {}
  if (typeof stopOn === 'function') return { test: stopOn }
  if (typeof stopOn === 'string') return { data: checkText(stopOn, 'stopOn') }
  if (typeof stopOn === 'object' && stopOn !== null) {
    checkKnown(stopOn, ['data', 'event'], 'stopOn')
    const { data, event } = stopOn
    if ((data === undefined) !== (event === undefined)) {
      return { data: readTextOr(data, 'stopOn.data'), event: readTextOr(event, 'stopOn.event') }
    }
  }
  throw invalid(
    'stopOn is the data of the last event, { data } or { event } with its data or type, or a function that knows it',
  )
}

const RECONNECT = [
  'when',
  'first',
  'statuses',
  'delay',
  'maxDelay',
  'resetAfter',
  'minServerDelay',
  'maxServerDelay',
  'maxRetries',
  'maxElapsed',
]

function readReconnect(reconnect) {
  // Browser code expects what browsers do: an answer with another status than 200 is final.
  if (reconnect === undefined) return { statuses: [] }
  if (typeof reconnect === 'boolean') return { when: reconnect ? 'always' : 'never' }
  checkKnown(reconnect, RECONNECT, 'reconnect')
  return {
    when: readWord(reconnect.when, 'reconnect.when', ['get', 'always', 'error', 'never']),
    first: readBoolean(reconnect.first, 'reconnect.first', undefined),
    statuses: readStatuses(reconnect.statuses),
    delay: readSeconds(reconnect.delay, 'reconnect.delay'),
    maxDelay: readSeconds(reconnect.maxDelay, 'reconnect.maxDelay'),
    resetAfter: readSeconds(reconnect.resetAfter, 'reconnect.resetAfter', { zero: true }),
    minServerDelay: readSeconds(reconnect.minServerDelay, 'reconnect.minServerDelay', { zero: true }),
    maxServerDelay: readSeconds(reconnect.maxServerDelay, 'reconnect.maxServerDelay', { zero: true }),
    maxRetries: readUint32(reconnect.maxRetries, 'reconnect.maxRetries'),
    maxElapsed: readSeconds(reconnect.maxElapsed, 'reconnect.maxElapsed', { zero: true }),
  }
}

function readRedirects(redirects = true) {
  if (typeof redirects === 'boolean') return { maxRedirects: redirects ? undefined : 0, foreignBody: false }
  checkKnown(redirects, ['max', 'foreignBody'], 'redirects')
  return {
    maxRedirects: readUint32(redirects.max, 'redirects.max'),
    foreignBody: readBoolean(redirects.foreignBody, 'redirects.foreignBody', false),
  }
}

function readStatuses(statuses) {
  if (statuses === undefined) return undefined
  if (!Array.isArray(statuses)) {
    throw invalid('reconnect.statuses is an array of statuses, and of pairs of the first and the last one')
  }
  return statuses.flatMap(status => {
    const pair = Array.isArray(status) ? status : [status, status]
    if (pair.length !== 2 || !pair.every(one => Number.isInteger(one) && one >= 100 && one <= 999)) {
      throw outOfRange('reconnect.statuses are whole numbers from 100 to 999, or pairs of them')
    }
    return pair
  })
}

function readPem(value, name) {
  if (value === undefined) return undefined
  const parts = (Array.isArray(value) ? value : [value]).map(part => {
    if (typeof part === 'string') return Buffer.from(part)
    if (types.isUint8Array(part)) return part
    throw invalid(`${name} is PEM, as text or bytes, not ${describe(part)}`)
  })
  return Buffer.concat(parts.flatMap(part => [part, Buffer.from('\n')]))
}

function readClientCert({ cert, key }) {
  if (key !== undefined && cert === undefined) throw invalid('key belongs to a certificate: give cert, too')
  return cert === undefined ? undefined : readPem([cert, ...(key === undefined ? [] : [key])].flat(), 'cert and key')
}

function readMaxEventSize(value) {
  const size = readCount(value, 'maxEventSize', 1)
  // One string has to hold it, and what came with it.
  if (size > 500 * 1024 * 1024) throw outOfRange('maxEventSize is at most 500 MiB: more is no string of JavaScript')
  return size
}

function readTextOr(value, name) {
  if (value == null) return undefined
  if (typeof value !== 'string') throw invalid(`${name} is text, not ${describe(value)}`)
  return checkText(value, name)
}

function readUint32(value, name) {
  const count = readCount(value, name)
  return count === undefined ? undefined : Math.min(count, 0xffffffff)
}
