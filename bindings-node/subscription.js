// Subscriptions: a position over topics. Given to a response, or iterated here.
import { isMainThread } from 'node:worker_threads'

import { checkText, describe } from './data.js'
import { ClosedError, LaggedError, invalid } from './errors.js'
import { END, reasonOf } from './loop.js'
import { SLOW, checkKnown, readCount, readWord } from './options.js'
import { Parser } from './parser.js'

/** The key of what other modules of this package need: shared by all copies of it that a process has loaded. */
export const INTERNAL = Symbol.for('ssehub.internal')
const PATTERN = Symbol.for('ssehub.pattern')
const SUBSCRIPTION = Symbol.for('ssehub.subscription')

/** Every topic whose name matches: `*` stands for one token between dots, `>` at the end for one or more. */
export function pattern(text) {
  if (typeof text !== 'string') throw invalid(`a pattern is text, not ${describe(text)}`)
  return Object.freeze({ [PATTERN]: true, pattern: checkText(text, 'pattern') })
}

export const isSubscription = value =>
  typeof value === 'object' && value !== null && value[SUBSCRIPTION] === true

const isPattern = value => typeof value === 'object' && value !== null && value[PATTERN] === true

/** The arguments of `hub.subscribe`, as the addon takes them. */
export function readSubscribe(args) {
  const topics = [...args]
  let options = {}
  const last = topics.at(-1)
  if (typeof last === 'object' && last !== null && !isPattern(last) && !Array.isArray(last)) {
    options = topics.pop()
  }
  checkKnown(options, ['lastEventId', 'onGap', 'slow', 'maxLag'], 'subscribe')
  const { lastEventId } = options
  if (lastEventId != null && typeof lastEventId !== 'string') {
    throw invalid(`lastEventId is text, not ${describe(lastEventId)}`)
  }
  const earliest = lastEventId === 'earliest'
  return {
    names: topics.map(topic => {
      if (isPattern(topic)) return topic.pattern
      if (typeof topic !== 'string') throw invalid(`a topic is text or pattern(...), not ${describe(topic)}`)
      return checkText(topic, 'topic')
    }),
    patterns: topics.map(isPattern),
    settings: {
      lastEventId: earliest || lastEventId == null ? undefined : checkText(lastEventId, 'lastEventId'),
      earliest,
      onGapLive: readWord(options.onGap, 'onGap', ['replay', 'live']) === 'live',
      slow: readWord(options.slow, 'slow', SLOW),
      maxLag: readCount(options.maxLag, 'maxLag'),
    },
    resumes: !earliest && lastEventId != null && lastEventId !== '',
  }
}

export class Subscription {
  #hub
  #native
  #topics
  #resumes

  constructor(hub, native, topics, resumes) {
    this.#hub = hub
    this.#native = native
    this.#topics = topics
    this.#resumes = resumes
  }

  get [SUBSCRIPTION]() {
    return true
  }

  get topics() {
    return [...this.#topics]
  }

  /** The hub's internals, the addon's subscription, and whether it goes on from an id. */
  get [INTERNAL]() {
    return { hub: this.#hub, native: this.#native, topics: this.#topics, resumes: this.#resumes }
  }

  [Symbol.asyncIterator]() {
    return new Iterator(this.#hub, this.#native)
  }
}

const SETTINGS = { liveAfterGap: false, announcePosition: false, connection: false }

// Whoever drops an iterator in the middle has not called return().
const dropped = new FinalizationRegistry(reader => reader.close())

class Iterator {
  #reader

  constructor(hub, subscription) {
    this.#reader = new Reader(hub, subscription)
    dropped.register(this, this.#reader, this.#reader)
  }

  [Symbol.asyncIterator]() {
    return this
  }

  next() {
    return this.#reader.next(this)
  }

  return(value) {
    dropped.unregister(this.#reader)
    this.#reader.close()
    return Promise.resolve({ value, done: true })
  }

  [Symbol.asyncDispose]() {
    return this.return().then(() => undefined)
  }
}

// One stream of the loop, parsed. It starts with the first call of next().
class Reader {
  #hub
  #subscription
  #place = undefined
  #parser = new Parser({ maxEventSize: Number.MAX_SAFE_INTEGER })
  #events = []
  #at = 0
  // Calls of next() that wait, oldest first.
  #waiting = []
  #done = false
  #failure = undefined
  #alive = undefined

  constructor(hub, subscription) {
    this.#hub = hub
    this.#subscription = subscription
  }

  next(owner) {
    if (this.#at >= this.#events.length && !this.#done) this.#fill()
    if (this.#at < this.#events.length) {
      return Promise.resolve({ value: this.#events[this.#at++], done: false })
    }
    if (this.#failure !== undefined) {
      const failure = this.#failure
      this.#failure = undefined
      return Promise.reject(failure)
    }
    if (this.#done) return Promise.resolve({ value: undefined, done: true })
    this.#keepAlive(true)
    return new Promise((resolve, reject) => {
      // With the iterator: whoever waits may hold nothing but the promise.
      this.#waiting.push({ resolve, reject, owner })
    })
  }

  #fill() {
    try {
      this.#place ??= this.#hub.loop.add(this.#subscription, SETTINGS, this)
    } catch (error) {
      this.#done = true
      if (!(error instanceof ClosedError)) this.#failure = error
      return
    }
    // Whoever waits already is served when there is something.
    if (this.#waiting.length === 0) this.#hub.loop.poll(this.#place)
  }

  // From the loop.
  deliver(code, payload) {
    if (code & END) {
      const reason = reasonOf(code)
      this.#finish(reason)
      if (reason === 'slow') {
        this.#fail(new LaggedError('the reader was too slow: it fell behind by more than maxLag'))
      }
      this.#settle()
      return false
    }
    this.#events = this.#parser.feed(payload.bytes)
    this.#at = 0
    this.#settle()
    // More at once only for those who wait: otherwise the position stays, and costs nothing.
    return this.#waiting.length > 0 || this.#events.length === 0
  }

  #fail(error) {
    this.#failure = error
  }

  #settle() {
    while (this.#waiting.length > 0) {
      if (this.#at < this.#events.length) {
        this.#waiting.shift().resolve({ value: this.#events[this.#at++], done: false })
      } else if (this.#failure !== undefined) {
        const failure = this.#failure
        this.#failure = undefined
        this.#waiting.shift().reject(failure)
      } else if (this.#done) {
        this.#waiting.shift().resolve({ value: undefined, done: true })
      } else {
        return
      }
    }
    this.#keepAlive(false)
  }

  /** Frees what is held, at once. */
  close() {
    if (this.#done) return
    this.#finish('client')
    this.#events = []
    this.#at = 0
    this.#settle()
  }

  #finish(reason) {
    this.#done = true
    if (this.#place !== undefined) this.#hub.loop.remove(this.#place, reason)
    this.#place = undefined
  }

  // A worker thread that does nothing but read a hub of other threads must not end. The main thread may: there nobody
  // would be left to publish.
  #keepAlive(on) {
    if (isMainThread) return
    if (on && this.#alive === undefined) this.#alive = setInterval(() => {}, 1 << 30)
    if (!on && this.#alive !== undefined) {
      clearInterval(this.#alive)
      this.#alive = undefined
    }
  }
}
