import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import { ClosedError, Hub, LaggedError, LimitError, SSEHubError, Subscription, event, pattern } from 'ssehub'

import { eventually, sleep, warnings, within } from './helpers.js'

const invalid = { name: 'TypeError', code: 'ERR_SSEHUB_INVALID_ARGUMENT' }

/** Reads so many events of a subscription, then leaves. */
async function take(subscription, count) {
  const seen = []
  if (count === 0) return seen
  for await (const e of subscription) if (seen.push(e) === count) break
  return seen
}
const data = list => list.map(e => e.data)

/** What is there to read now: the events up to one of our own. */
async function pending(hub, topic, options) {
  hub.publish(topic, 'END')
  const seen = []
  for await (const e of hub.subscribe(topic, options)) {
    if (e.data === 'END') break
    seen.push(e)
  }
  return seen
}

test('options are checked', () => {
  const wrong = [
    { nope: 1 },
    { history: { counts: 1 } },
    { history: { count: '1' } },
    { slow: 'wait' },
    { heartbeat: '1' },
    { limits: { eventsize: 1 } },
    { topics: [] },
    { name: 7 },
    7,
  ]
  for (const options of wrong) assert.throws(() => new Hub(undefined, options), invalid, JSON.stringify(options))
  for (const options of [{ heartbeat: 0 }, { retry: -1 }, { history: { count: 1.5 } }, { limits: { connections: 0 } }, { maxLag: 10 }]) {
    assert.throws(() => new Hub(options), { name: 'RangeError' }, JSON.stringify(options))
  }
  assert.throws(() => new Hub('redis://localhost'), /backplane/)
  assert.throws(() => new Hub({}, {}), invalid)
  const all = {
    name: 'all',
    history: { count: 10, bytes: 300_000, age: 1 },
    topics: { 'a.*': { count: 0 }, b: { age: null } },
    slow: 'skip',
    maxLag: 300_000,
    retry: 100,
    heartbeat: null,
    limits: { connections: 10, connectionsPerKey: 2, topicsPerSubscription: 3, eventSize: 200_000, historyBytes: 1 << 20 },
    stringify: JSON.stringify,
  }
  const hub = new Hub(undefined, all)
  assert.equal(hub.name, 'all')
  assert.equal(hub.ready, true)
  hub.close()
  assert.equal(hub.ready, false)
})

test('publish: arguments', () => {
  const hub = new Hub()
  assert.equal(hub.publish('t', 'x'), undefined)
  for (const topics of [7, null, [7], [], '', 'a\nb', '\ud800', 'x'.repeat(257)]) {
    assert.throws(() => hub.publish(topics, 'x'), TypeError, String(topics))
  }
  assert.throws(() => hub.publish('t', 'x', { kay: 'k' }), invalid)
  assert.throws(() => hub.publish('t', 'x', { key: 7 }), invalid)
  assert.throws(() => hub.publish('t', 'x', { id: 'ä' }), invalid)
  assert.throws(() => hub.publish('t', 'x'.repeat(300_000)), { code: 'ERR_SSEHUB_EVENT_TOO_LARGE' })
})

test('publishAsync gives the id', async () => {
  const hub = new Hub()
  const id = await hub.publishAsync('t', 'x')
  assert.match(id, /^[0-9a-f]{16}-1$/)
  assert.equal(hub.lastEventId, id)
  assert.equal(await hub.publishAsync('t', 'x', { id: 'mine' }), 'mine')
  assert.equal(await hub.flush(), undefined)
  await assert.rejects(hub.publishAsync('t', undefined), TypeError)
})

test('a subscription reads from its own call on', async () => {
  const hub = new Hub()
  hub.publish('t', 'before')
  const subscription = hub.subscribe('t')
  assert.ok(subscription instanceof Subscription)
  hub.publish('t', 'one', { event: 'e', retry: 9 })
  hub.publish('t', { n: 2 })
  const seen = await take(subscription, 2)
  const epoch = hub.lastEventId.split('-')[0]
  assert.deepEqual(seen, [
    { event: 'e', data: 'one', id: `${epoch}-2` },
    { event: 'message', data: '{"n":2}', id: `${epoch}-3` },
  ])
  // Again: the same position.
  assert.deepEqual(data(await take(subscription, 1)), ['one'])
  assert.equal(hub.stats().subscriptions, 0)
})

test('what is not started holds nothing; leaving frees at once', async () => {
  const hub = new Hub()
  const subscription = hub.subscribe('t')
  const iterator = subscription[Symbol.asyncIterator]()
  assert.equal(hub.subscribers('t'), 0)
  const waiting = iterator.next()
  assert.equal(hub.subscribers('t'), 1)
  assert.equal(hub.stats().subscriptions, 1)
  await iterator.return()
  assert.equal(hub.subscribers('t'), 0)
  assert.deepEqual(await waiting, { value: undefined, done: true })
  assert.deepEqual(await iterator.next(), { value: undefined, done: true })
})

test('calls of next() that overlap are answered in order', async () => {
  const hub = new Hub()
  const iterator = hub.subscribe('t')[Symbol.asyncIterator]()
  const steps = [iterator.next(), iterator.next(), iterator.next()]
  for (const n of [1, 2, 3, 4]) hub.publish('t', n)
  assert.deepEqual((await Promise.all(steps)).map(step => step.value.data), ['1', '2', '3'])
  assert.equal((await iterator.next()).value.data, '4')
  await iterator.return()
})

test('an event of several topics comes once, in order', async () => {
  const hub = new Hub()
  const subscription = hub.subscribe('a', 'b')
  hub.publish('a', 1)
  hub.publish(['a', 'b', 'c'], 2)
  hub.publish('c', 3)
  hub.publish('b', 4)
  assert.deepEqual(data(await take(subscription, 3)), ['1', '2', '4'])
})

test('patterns, only when asked for', async () => {
  const hub = new Hub()
  const orders = hub.subscribe(pattern('orders.*'))
  const all = hub.subscribe(pattern('orders.>'))
  const literal = hub.subscribe('orders.*')
  hub.publish('orders.1', 1)
  hub.publish('orders.1.paid', 2)
  hub.publish('orders.*', 3)
  assert.deepEqual(data(await take(orders, 2)), ['1', '3'])
  assert.deepEqual(data(await take(all, 3)), ['1', '2', '3'])
  assert.deepEqual(data(await take(literal, 1)), ['3'])
  assert.throws(() => hub.subscribe(pattern('a.>.b')), TypeError)
  assert.throws(() => pattern(7), invalid)
})

test('subscribe: arguments', () => {
  const hub = new Hub({ limits: { topicsPerSubscription: 2 } })
  assert.throws(() => hub.subscribe(), invalid)
  assert.throws(() => hub.subscribe(7), invalid)
  assert.throws(() => hub.subscribe(['a']), invalid)
  assert.throws(() => hub.subscribe('a', { last: 1 }), invalid)
  assert.throws(() => hub.subscribe('a', { lastEventId: 7 }), invalid)
  assert.throws(() => hub.subscribe('a', { slow: 'x' }), invalid)
  assert.throws(() => hub.subscribe('a', { onGap: 'x' }), invalid)
  assert.throws(() => hub.subscribe('a', { maxLag: 1 }), RangeError)
  assert.throws(() => hub.subscribe('a', 'b', 'c'), LimitError)
})

test('resume: from an id, from the earliest, from an own id', async () => {
  const hub = new Hub()
  const ids = []
  for (let n = 0; n < 5; n += 1) ids.push(await hub.publishAsync('t', n))
  assert.deepEqual(data(await pending(hub, 't', { lastEventId: ids[1] })), ['2', '3', '4'])
  const fresh = new Hub()
  fresh.publish('t', 'a', { id: 'mine' })
  fresh.publish('t', 'b')
  assert.deepEqual(data(await pending(fresh, 't', { lastEventId: 'mine' })), ['b'])
  assert.deepEqual(data(await take(fresh.subscribe('t', { lastEventId: 'earliest' }), 2)), ['a', 'b'])
})

test('gaps: expired, unknown, and none for a quiet topic', async () => {
  const hub = new Hub({ history: { count: 2 } })
  const first = await hub.publishAsync('t', 0)
  for (let n = 1; n < 6; n += 1) hub.publish('t', n)
  const [gap, ...rest] = await take(hub.subscribe('t', { lastEventId: first }), 3)
  assert.equal(gap.event, 'ssehub:gap')
  assert.deepEqual(JSON.parse(gap.data), { last_event_id: first, reason: 'expired' })
  assert.deepEqual(data(rest), ['4', '5'])
  // Going on from the gap's id tells nothing twice.
  assert.deepEqual(data(await take(hub.subscribe('t', { lastEventId: gap.id }), 2)), ['4', '5'])
  const [unknown] = await take(hub.subscribe('t', { lastEventId: 'who knows' }), 1)
  assert.equal(JSON.parse(unknown.data).reason, 'unknown')
  const foreign = `${'0'.repeat(16)}-1`
  const [other] = await take(hub.subscribe('t', { lastEventId: foreign, onGap: 'live' }), 1)
  assert.equal(JSON.parse(other.data).reason, 'unknown')
  const live = hub.subscribe('t', { lastEventId: foreign, onGap: 'live' })[Symbol.asyncIterator]()
  await live.next()
  const next = live.next()
  hub.publish('t', 'live')
  assert.equal((await next).value.data, 'live')
  await live.return()
  const quiet = new Hub({ history: { count: 2 } })
  quiet.publish('quiet', 1)
  const position = quiet.lastEventId
  for (let n = 0; n < 50; n += 1) quiet.publish('busy', n)
  assert.deepEqual(await pending(quiet, 'quiet', { lastEventId: position }), [])
  assert.equal(hub.stats().gaps.expired, 1)
  assert.equal(hub.stats().gaps.unknown, 3)
})

const slowHub = slow => new Hub({ slow, maxLag: 2000, history: { count: 5, bytes: 2000 }, limits: { eventSize: 1000 } })

test('slow readers: disconnect, skip, conflate', async () => {
  const fill = 'x'.repeat(400)
  const flood = hub => {
    for (let n = 0; n < 20; n += 1) hub.publish('t', `${n} ${fill}`, { key: `k${n % 2}` })
  }
  const start = async hub => {
    const iterator = hub.subscribe('t')[Symbol.asyncIterator]()
    const first = iterator.next()
    hub.publish('t', 'first')
    await first
    return iterator
  }

  let hub = slowHub('disconnect')
  let iterator = await start(hub)
  flood(hub)
  await assert.rejects(iterator.next(), error => error instanceof LaggedError && error.code === 'ERR_SSEHUB_LAGGED')
  assert.equal((await iterator.next()).done, true)
  assert.equal(hub.stats().subscriptions, 0)

  hub = slowHub('skip')
  iterator = await start(hub)
  flood(hub)
  const gap = (await iterator.next()).value
  assert.equal(gap.event, 'ssehub:gap')
  assert.equal(JSON.parse(gap.data).reason, 'lagged')
  assert.match((await iterator.next()).value.data, /^1\d /)
  await iterator.return()

  hub = slowHub('conflate')
  iterator = await start(hub)
  flood(hub)
  const seen = [(await iterator.next()).value.data, (await iterator.next()).value.data].map(text => text.split(' ')[0])
  assert.deepEqual(seen, ['18', '19'])
  assert.ok(hub.stats().conflated > 0)
  await iterator.return()
})

test('closing ends subscriptions and refuses calls', async () => {
  const hub = new Hub()
  const iterator = hub.subscribe('t')[Symbol.asyncIterator]()
  const waiting = iterator.next()
  const unstarted = hub.subscribe('t')
  hub.close()
  assert.deepEqual(await within(1000, waiting, 'the end'), { value: undefined, done: true })
  assert.throws(() => hub.publish('t', 1), error => error instanceof ClosedError && error instanceof SSEHubError)
  assert.throws(() => hub.subscribe('t'), ClosedError)
  assert.deepEqual(await take(unstarted, 1), [])
  hub.close()
})

test('await using', async () => {
  const hub = new Hub()
  await hub[Symbol.asyncDispose]()
  assert.equal(hub.ready, false)
  await hub[Symbol.asyncDispose]()
})

test('stats, topics, subscribers', async () => {
  const hub = new Hub()
  hub.publish('a.1', 'x')
  hub.publish(['a.2', 'b'], 'yy')
  const stats = hub.stats()
  assert.equal(stats.published, 2)
  assert.equal(stats.topics, 3)
  assert.equal(stats.historyFrames, 2)
  assert.deepEqual(Object.keys(stats.closed).sort(), ['client', 'drain', 'error', 'expired', 'kick', 'max_age', 'slow'])
  assert.deepEqual(hub.topics({ prefix: 'a.' }).map(topic => topic.name), ['a.1', 'a.2'])
  assert.equal(hub.topics({ limit: 1 }).length, 1)
  assert.throws(() => hub.topics({ perfix: 'a' }), invalid)
  assert.throws(() => hub.subscribers(7), invalid)
  assert.equal(hub.subscribers('a.1'), 0)
})

test('disconnect: arguments', () => {
  const hub = new Hub()
  assert.equal(hub.disconnect({ key: 'nobody' }), 0)
  assert.throws(() => hub.disconnect({}), invalid)
  assert.throws(() => hub.disconnect({ user: 1 }), invalid)
  assert.throws(() => hub.disconnect(), invalid)
  assert.equal(hub.disconnect({ topic: 't', event: event({ data: 'bye' }) }), 0)
})

test('listeners: arguments', () => {
  const hub = new Hub()
  const listener = () => {}
  assert.equal(hub.on('open', listener).off('open', listener), hub)
  assert.throws(() => hub.on('opened', listener), invalid)
  assert.throws(() => hub.on('open', 7), invalid)
})

test('a subscription that is dropped while nobody reads does not stop others', async () => {
  const hub = new Hub()
  const seen = warnings()
  const kept = hub.subscribe('t')[Symbol.asyncIterator]()
  const dropped = hub.subscribe('t')[Symbol.asyncIterator]()
  void dropped.next()
  const next = kept.next()
  hub.publish('t', 1)
  assert.equal((await next).value.data, '1')
  await kept.return()
  await dropped.return()
  await sleep(10)
  assert.deepEqual(seen.seen, [])
  seen.stop()
  await eventually(() => hub.stats().subscriptions === 0)
})

test('a call of next() that waits keeps its iterator', async () => {
  const hub = new Hub()
  const next = hub.subscribe('t')[Symbol.asyncIterator]().next()
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc')
  for (let i = 0; i < 3; i += 1) {
    gc()
    await sleep(5)
  }
  assert.equal(hub.stats().subscriptions, 1)
  hub.publish('t', 'x')
  assert.equal((await next).value.data, 'x')
  // Nobody has it any more: it goes, without return().
  await eventually(() => {
    gc()
    return hub.stats().subscriptions === 0
  })
})

test('metrics', () => {
  const hub = new Hub()
  hub.publish('t', 1)
  assert.match(hub.metrics(), /^ssehub_\w+/m)
})

test('Hub.get: one per name', () => {
  const hub = Hub.get('orders', { retry: 100 })
  assert.equal(Hub.get('orders'), hub)
  assert.notEqual(Hub.get('others'), hub)
  assert.throws(() => Hub.get(7), invalid)
  assert.throws(() => Hub.get('more', { nope: 1 }), invalid)
  hub.close()
  const next = Hub.get('orders')
  assert.notEqual(next, hub)
  assert.equal(next.ready, true)
  next.close()
})
