// The hub: topics by name, publishing, subscriptions, and the life of all streams.
import { setTimeout as sleep } from 'node:timers/promises'

import * as native from './native.js'
import { describe, toText } from './data.js'
import { fromNative, invalid, report } from './errors.js'
import { event as makeEvent, isEvent, readRetry, readText } from './event.js'
import { Loop } from './loop.js'
import { checkKnown, readCount, readFunction, readHubOptions, readName, readSeconds } from './options.js'
import { INTERNAL, Subscription, readSubscribe } from './subscription.js'

// One process-wide table, whatever the number of copies of this module.
const HUBS = Symbol.for('ssehub.hubs')
const named = (globalThis[HUBS] ??= new Map())

const EVENTS = ['open', 'close']

export class Hub {
  #native
  #loop = undefined
  #stringify
  #name
  #listeners = { open: new Set(), close: new Set() }
  #internal

  constructor(url = undefined, options = undefined) {
    if (typeof url === 'object' && url !== null) {
      if (options !== undefined) throw invalid('new Hub(url?, options?): the first of two arguments is a URL')
      options = url
      url = undefined
    }
    if (url != null) {
      if (typeof url !== 'string') throw invalid(`a hub's URL is text, not ${describe(url)}`)
      throw invalid(
        `this version of ssehub has no backplanes, so ${JSON.stringify(url)} cannot be used: new Hub() is in memory`,
      )
    }
    options ??= {}
    const settings = readHubOptions(options)
    this.#stringify = readFunction(options.stringify, 'stringify')
    this.#name = options.name === undefined ? undefined : readName(options.name, 'name')
    try {
      this.#native = new native.Hub(settings, options[SHARED] === true ? this.#name : undefined)
    } catch (error) {
      throw fromNative(error)
    }
    this.#internal = new Internal(this.#native, this.#stringify, () => this.#getLoop(), this.#listeners)
  }

  /** The hub of this name: one per process, in all threads and all copies of this module. */
  static get(name, options = {}) {
    readName(name, 'name')
    const known = named.get(name)
    if (known !== undefined && !known[INTERNAL].closed) return known
    checkKnown(options, ['history', 'topics', 'slow', 'maxLag', 'retry', 'heartbeat', 'limits', 'stringify'], 'Hub.get')
    const hub = new Hub(Object.defineProperty({ ...options, name }, SHARED, { value: true }))
    named.set(name, hub)
    return hub
  }

  get name() {
    return this.#name
  }

  get ready() {
    return this.#native.isReady()
  }

  get lastEventId() {
    return this.#native.lastEventId()
  }

  get [INTERNAL]() {
    return this.#internal
  }

  publish(topics, data, options = undefined) {
    this.#publish(topics, data, options)
  }

  async publishAsync(topics, data, options = undefined) {
    const { id, seq } = this.#publish(topics, data, options)
    if (id !== undefined) return id
    const last = this.lastEventId
    return `${last.slice(0, last.lastIndexOf('-'))}-${seq}`
  }

  /** In memory there is nothing to wait for. */
  async flush() {
    return undefined
  }

  #publish(topics, data, options) {
    if (typeof topics === 'string') readName(topics, 'topic')
    else if (Array.isArray(topics)) for (const topic of topics) readName(topic, 'topic')
    else throw invalid(`a topic is text, or several in an array, not ${describe(topics)}`)
    let event, id, retry, comment, key, text
    if (options !== undefined) {
      checkKnown(options, ['event', 'id', 'retry', 'key'], 'publish')
      event = readText(options.event, 'event')
      id = readText(options.id, 'id')
      retry = readRetry(options.retry)
      key = readText(options.key, 'key')
    }
    if (isEvent(data)) {
      if (event !== undefined || id !== undefined || retry !== undefined) {
        throw invalid('an Event has its own event, id and retry: give them there, or in the options, not in both')
      }
      ;({ data: text, event, id, retry, comment } = data)
    } else {
      text = toText(data, this.#stringify)
    }
    let seq
    try {
      seq = this.#native.publish(topics, key, text, event, id, retry, comment)
    } catch (error) {
      throw fromNative(error)
    }
    this.#loop?.schedule()
    return { id, seq }
  }

  subscribe(...topics) {
    const { names, patterns, settings, resumes } = readSubscribe(topics)
    try {
      const subscription = this.#native.subscribe(names, patterns, settings)
      return new Subscription(this.#internal, subscription, names, resumes)
    } catch (error) {
      throw fromNative(error)
    }
  }

  disconnect(which) {
    checkKnown(which, ['key', 'topic', 'event'], 'disconnect')
    const key = readText(which.key, 'key')
    const topic = readText(which.topic, 'topic')
    try {
      return this.#native.disconnect(key, topic, this.#farewell(which.event))
    } catch (error) {
      throw fromNative(error)
    }
  }

  subscribers(topic) {
    return this.#native.subscribers(readName(topic, 'topic'))
  }

  stats() {
    return this.#native.stats()
  }

  metrics() {
    return this.#native.metrics()
  }

  topics(options = {}) {
    checkKnown(options, ['prefix', 'limit'], 'topics')
    return this.#native.topics(
      options.prefix === undefined ? '' : readName(options.prefix, 'prefix'),
      readCount(options.limit, 'limit') ?? 100,
    )
  }

  on(name, listener) {
    this.#listenersOf(name).add(readFunction(listener, 'a listener') ?? missing())
    return this
  }

  off(name, listener) {
    this.#listenersOf(name).delete(listener)
    return this
  }

  #listenersOf(name) {
    if (!EVENTS.includes(name)) throw invalid(`a hub tells of "open" and "close", not of ${describe(name)}`)
    return this.#listeners[name]
  }

  async drain(options = {}) {
    checkKnown(options, ['timeout', 'spread', 'event'], 'drain')
    const timeout = readSeconds(options.timeout, 'timeout', { zero: true }) ?? 10_000
    const spread = readSeconds(options.spread, 'spread', { zero: true }) ?? 5_000
    this.#native.drain(timeout, spread, this.#farewell(options.event))
    await this.#internal.drained(timeout)
  }

  close() {
    this.#native.close()
    if (named.get(this.#name) === this) named.delete(this.#name)
    // Subscriptions that wait learn of it now, also where the event loop is about to end.
    this.#loop?.run()
  }

  /** Waits for what is published, lets all streams end, and closes. */
  async [Symbol.asyncDispose]() {
    if (this.#internal.closed) return
    await this.drain()
    this.close()
  }

  #farewell(value) {
    if (value === undefined) return undefined
    const { data, event, id, retry, comment } = isEvent(value)
      ? value
      : typeof value === 'object' && value !== null
        ? makeEvent(value)
        : { data: toText(value, this.#stringify) }
    return { data, event, id, retry, comment }
  }

  #getLoop() {
    return (this.#loop ??= new Loop(this.#native))
  }
}

const SHARED = Symbol('shared')

const missing = () => {
  throw invalid('a listener is a function')
}

// What responses and subscriptions need of a hub.
class Internal {
  native
  stringify
  #getLoop
  #listeners

  constructor(inner, stringify, getLoop, listeners) {
    this.native = inner
    this.stringify = stringify
    this.#getLoop = getLoop
    this.#listeners = listeners
  }

  get closed() {
    return this.native.isClosed()
  }

  get loop() {
    return this.#getLoop()
  }

  /** Calls listeners later: they must not run in the middle of a round. */
  tell(name, info, more = undefined) {
    const listeners = [...this.#listeners[name]]
    if (more !== undefined) listeners.push(more)
    if (listeners.length > 0) queueMicrotask(() => callAll(listeners, name, info))
  }

  /** Waits until no stream is left and their ends are told, or the time is over. */
  async drained(timeout) {
    // What is cut at the deadline is found by the next look at the streams.
    const deadline = performance.now() + timeout + 1500
    const { loop } = this
    while ((this.native.stats().connections > 0 || loop.handed > 0) && performance.now() < deadline) {
      await sleep(10)
    }
  }
}

function callAll(listeners, name, info) {
  for (const listener of listeners) {
    try {
      const result = listener(info)
      if (typeof result?.then === 'function') result.then(undefined, error => failed(name, error))
    } catch (error) {
      failed(name, error)
    }
  }
}

const failed = (name, error) => report(`a listener of "${name}" failed`, error)
