// Options: names, types and ranges are checked here, so that a misspelt or misplaced one never goes unnoticed.
import { checkText, describe } from './data.js'
import { invalid, outOfRange } from './errors.js'

/** Refuses what is no object, and names that nobody knows. */
export function checkKnown(options, names, what) {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalid(`the options of ${what} are an object, not ${describe(options)}`)
  }
  for (const name in options) {
    if (!names.includes(name)) {
      throw invalid(`${what} has no option ${JSON.stringify(name)}: ${names.join(', ')} are known`)
    }
  }
}

/** A whole number from `least` on, or nothing. */
export function readCount(value, name, least = 0) {
  if (value === undefined) return undefined
  if (typeof value !== 'number') throw invalid(`${name} is a number, not ${describe(value)}`)
  if (!Number.isSafeInteger(value) || value < least) {
    throw outOfRange(`${name} is a whole number from ${least} on, not ${value}`)
  }
  return value
}

/** Seconds as milliseconds, or nothing. */
export function readSeconds(value, name, { zero = false } = {}) {
  if (value === undefined) return undefined
  if (typeof value !== 'number') {
    throw invalid(`${name} is a number of seconds, not ${describe(value)}`)
  }
  const milliseconds = Math.round(value * 1000)
  if (!Number.isSafeInteger(milliseconds) || milliseconds < 0 || (milliseconds === 0 && !zero)) {
    throw outOfRange(`${name} is a number of seconds ${zero ? 'from 0 on' : 'greater than 0'}, not ${value}`)
  }
  return milliseconds
}

/** Seconds as milliseconds, -1 for `null` and `false`: switched off. */
export function readOptionalSeconds(value, name) {
  return value === null || value === false ? -1 : readSeconds(value, name)
}

/** One of these words, or nothing. */
export function readWord(value, name, words) {
  if (value === undefined) return undefined
  if (!words.includes(value)) {
    const list = words.map(word => JSON.stringify(word)).join(', ')
    const given = typeof value === 'string' ? JSON.stringify(value) : describe(value)
    throw invalid(`${name} is one of ${list}, not ${given}`)
  }
  return value
}

export function readFunction(value, name) {
  if (value == null) return undefined
  if (typeof value !== 'function') throw invalid(`${name} is a function, not ${describe(value)}`)
  return value
}

export function readBoolean(value, name, otherwise) {
  if (value === undefined) return otherwise
  if (typeof value !== 'boolean') throw invalid(`${name} is true or false, not ${describe(value)}`)
  return value
}

export function readSignal(signal) {
  if (signal == null) return undefined
  if (!(signal instanceof AbortSignal)) throw invalid(`signal is an AbortSignal, not ${describe(signal)}`)
  return signal
}

/** A name in the sense of topics and keys: text. The engine checks the rest. */
export function readName(value, name) {
  if (typeof value !== 'string') throw invalid(`${name} is text, not ${describe(value)}`)
  return checkText(value, name)
}

export const SLOW = ['disconnect', 'skip', 'conflate']

function readHistory(history, what) {
  checkKnown(history, ['count', 'bytes', 'age'], what)
  return {
    count: readCount(history.count, `${what}.count`),
    bytes: readCount(history.bytes, `${what}.bytes`),
    age: history.age === null ? -1 : readSeconds(history.age, `${what}.age`, { zero: true }),
  }
}

function readTopics(topics) {
  if (typeof topics !== 'object' || topics === null || Array.isArray(topics)) {
    throw invalid(`topics maps patterns to histories: it is an object, not ${describe(topics)}`)
  }
  return Object.entries(topics).map(([pattern, history]) => ({
    pattern: checkText(pattern, 'topics'),
    history: readHistory(history, `topics[${JSON.stringify(pattern)}]`),
  }))
}

function readLimits(limits) {
  const names = ['connections', 'connectionsPerKey', 'topicsPerSubscription', 'eventSize', 'historyBytes']
  checkKnown(limits, names, 'limits')
  return Object.fromEntries(names.map(name => [name, readCount(limits[name], `limits.${name}`)]))
}

/** The settings of a hub, as the addon takes them. */
export function readHubOptions(options) {
  const names = ['name', 'history', 'topics', 'slow', 'maxLag', 'retry', 'heartbeat', 'limits', 'stringify']
  checkKnown(options, names, 'Hub')
  return {
    history: options.history === undefined ? undefined : readHistory(options.history, 'history'),
    topics: options.topics === undefined ? [] : readTopics(options.topics),
    slow: readWord(options.slow, 'slow', SLOW),
    maxLag: readCount(options.maxLag, 'maxLag'),
    retry: readCount(options.retry, 'retry'),
    heartbeat: readOptionalSeconds(options.heartbeat, 'heartbeat'),
    limits: options.limits === undefined ? undefined : readLimits(options.limits),
  }
}
