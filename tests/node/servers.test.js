// Streams over real servers: what must be the same in every framework.
import assert from 'node:assert/strict'
import { connect as dial } from 'node:net'
import { test } from 'node:test'

import { Hub, event } from 'ssehub'
import { sse } from 'ssehub/express'

import { frameworks } from './apps.js'
import { eventually, open, serving, sleep, warnings } from './helpers.js'

const data = list => list.map(e => e.data)

for (const [name, make] of Object.entries(frameworks)) {
  test(`${name}: a stream in-loop, its head, its end`, async () => {
    const hub = new Hub()
    const told = []
    hub.on('open', info => told.push(['open', info])).on('close', info => told.push(['close', info]))
    await serving(make({ '/events': sse(() => hub.subscribe('news'), { key: 'k', handoff: 'off' }) }), async url => {
      const stream = await open(`${url}/events`)
      assert.equal(stream.status, 200)
      const { headers } = stream
      assert.equal(headers['content-type'], 'text/event-stream')
      assert.equal(headers['cache-control'], 'no-cache, no-transform')
      assert.equal(headers['x-accel-buffering'], 'no')
      assert.equal(headers['access-control-allow-origin'], '*')
      assert.deepEqual(headers['set-cookie'], ['a=1', 'b=2'])
      assert.equal(headers['content-length'], undefined)
      // The opening block: resumable before any event.
      await stream.until(() => stream.lastEventId !== '')
      assert.equal(stream.retry, 3000)
      assert.equal(stream.lastEventId, hub.lastEventId)
      hub.publish('news', { n: 1 }, { event: 'posted' })
      hub.publish('news', 'two')
      assert.deepEqual(await stream.take(2), [
        { event: 'posted', data: '{"n":1}', id: hub.lastEventId.replace(/2$/, '1') },
        { event: 'message', data: 'two', id: hub.lastEventId },
      ])
      assert.equal(hub.stats().connections, 1)
      stream.close()
      await eventually(() => hub.stats().connections === 0)
      await eventually(() => told.length === 2)
      assert.deepEqual(told[0][1].topics, ['news'])
      assert.equal(told[0][1].key, 'k')
      assert.equal(told[0][1].mode, 'in-loop')
      const [, [, info]] = told
      assert.equal(info.reason, 'client')
      assert.equal(info.events, 2)
      assert.equal(info.lastEventId, hub.lastEventId)
      assert.ok(info.duration >= 0 && info.bytes > 50)
    })
  })

  test(`${name}: resume from the header, from the query, from the first position`, async () => {
    const hub = new Hub()
    hub.publish('news', 0)
    const position = hub.lastEventId
    for (const n of [1, 2]) hub.publish('news', n)
    await serving(make({ '/events': sse(() => hub.subscribe('news')) }), async url => {
      const byHeader = await open(`${url}/events`, { headers: { 'Last-Event-ID': position } })
      assert.deepEqual(data(await byHeader.take(2)), ['1', '2'])
      const byQuery = await open(`${url}/events?x=1&lastEventId=${position}`)
      assert.deepEqual(data(await byQuery.take(2)), ['1', '2'])
      const both = await open(`${url}/events?lastEventId=nonsense`, { headers: { 'Last-Event-ID': hub.lastEventId } })
      const first = await open(`${url}/events`)
      await first.until(() => first.lastEventId !== '')
      first.close()
      hub.publish('news', 'missed')
      const again = await open(`${url}/events`, { headers: { 'Last-Event-ID': first.lastEventId } })
      assert.deepEqual(data(await again.take(1)), ['missed'])
      assert.deepEqual(data(await both.take(1)), ['missed'])
      const unknown = await open(`${url}/events`, { headers: { 'Last-Event-ID': 'who knows' } })
      assert.equal((await unknown.take(1))[0].event, 'ssehub:gap')
    })
  })

  test(`${name}: an iterable, its end, and the end of reconnecting`, async () => {
    let runs = 0
    const routes = {
      '/chat': sse(async function* () {
        runs += 1
        yield 'a'
        yield { b: 1 }
        yield event({ data: 'c', event: 'e', id: '7' })
        yield null
        yield new TextEncoder().encode('bytes')
      }),
      '/list': sse(() => ['x', 'y'], { once: false }),
    }
    await serving(make(routes), async url => {
      const stream = await open(`${url}/chat`)
      await stream.end()
      assert.ok(stream.complete)
      assert.deepEqual(data(stream.events), ['a', '{"b":1}', 'c', 'null', 'bytes'])
      assert.deepEqual(stream.events[2], { event: 'e', data: 'c', id: '7' })
      assert.equal(stream.lastEventId, 'ssehub:end')
      const again = await open(`${url}/chat`, { headers: { 'Last-Event-ID': stream.lastEventId } })
      assert.equal(again.status, 204)
      await again.end()
      assert.equal(runs, 1)
      const post = await open(`${url}/chat`, { method: 'POST', body: 'x', headers: { 'Last-Event-ID': 'ssehub:end' } })
      await post.end()
      assert.equal(post.events.length, 5)
      assert.equal(post.text.includes('ssehub:end'), false)
      const list = await open(`${url}/list`)
      await list.end()
      assert.equal(list.text, 'data: x\n\ndata: y\n\n')
      assert.equal((await open(`${url}/list`, { headers: { 'Last-Event-ID': 'ssehub:end' } })).status, 200)
    })
  })

  test(`${name}: HEAD has no body, and runs no stream`, async () => {
    const hub = new Hub()
    let returned = false
    const source = { [Symbol.asyncIterator]: () => ({ next: () => assert.fail(), return: async () => void (returned = true) }) }
    await serving(make({ '/events': sse(() => hub.subscribe('t')), '/chat': sse(() => source) }), async url => {
      for (const path of ['/events', '/chat']) {
        const head = await open(url + path, { method: 'HEAD' })
        await head.end()
        assert.equal(head.status, 200)
        assert.equal(head.headers['content-type'], 'text/event-stream')
        assert.equal(head.text, '')
      }
      assert.ok(returned)
      assert.equal(hub.stats().opened, 0)
    })
  })

  test(`${name}: errors before the head go to the framework`, async () => {
    const seen = []
    const routes = {
      '/throw': sse(() => {
        throw new Error('thrown')
      }),
      '/reject': sse(async () => {
        throw new Error('rejected')
      }),
      // eslint-disable-next-line require-yield
      '/first': sse(async function* () {
        throw new Error('first')
      }),
      '/text': sse(() => 'no source'),
      '/nothing': sse(() => {}),
      '/undefined': sse(() => [undefined]),
    }
    await serving(make(routes, seen), async url => {
      for (const [path, expected] of [
        ['/throw', /^thrown$/],
        ['/reject', /^rejected$/],
        ['/first', /^first$/],
        ['/text', /a string/],
        ['/nothing', /undefined/],
        ['/undefined', /undefined/],
      ]) {
        const stream = await open(url + path)
        await stream.end()
        assert.equal(stream.status, 500, path)
        assert.match(stream.text, expected)
        assert.notEqual(stream.headers['content-type'], 'text/event-stream')
      }
      assert.equal(seen.length, 6)
    })
  })

  test(`${name}: an error in the middle cuts the body, without details`, async () => {
    const told = []
    const log = warnings()
    const handler = async function* () {
      yield 'one'
      await sleep(5)
      throw new Error('secret')
    }
    await serving(make({ '/chat': sse(handler, { onClose: info => told.push(info) }) }), async url => {
      const stream = await open(`${url}/chat`)
      await stream.end()
      assert.equal(stream.complete, false)
      assert.deepEqual(stream.events, [
        { event: 'message', data: 'one', id: '' },
        { event: 'ssehub:error', data: '', id: '' },
      ])
      assert.equal(stream.text.includes('secret'), false)
      await eventually(() => told.length === 1 && log.seen.length > 0)
      assert.equal(told[0].reason, 'error')
      assert.match(String(log.seen[0]), /secret/)
    })
    log.stop()
  })

  test(`${name}: a client that leaves while the source waits`, async () => {
    const seen = { aborted: false, returned: false, finished: false }
    const handler = (_req, _res, { signal }) => {
      signal.addEventListener('abort', () => (seen.aborted = true))
      return {
        [Symbol.asyncIterator]: () => ({
          first: true,
          next() {
            if (!this.first) return new Promise(() => {})
            this.first = false
            return Promise.resolve({ value: 'x', done: false })
          },
          return: async () => void (seen.returned = true),
        }),
      }
    }
    const generator = async function* (_req, _res, { signal }) {
      try {
        yield 'x'
        await new Promise((_resolve, reject) => { signal.addEventListener('abort', () => reject(signal.reason)) })
      } finally {
        seen.finished = true
      }
    }
    const log = warnings()
    await serving(make({ '/a': sse(handler), '/b': sse(generator) }), async url => {
      for (const path of ['/a', '/b']) {
        const stream = await open(url + path)
        await stream.take(1)
        stream.close()
      }
      await eventually(() => seen.aborted && seen.returned && seen.finished, 'return() and abort', 1000)
    })
    await sleep(5)
    assert.deepEqual(log.seen, [])
    log.stop()
  })

  test(`${name}: a client that leaves while the handler is pending`, async () => {
    const hub = new Hub()
    let aborted = false
    let called = false
    const handler = async (_req, _res, { signal }) => {
      called = true
      await new Promise(resolve => { signal.addEventListener('abort', resolve) })
      aborted = true
      return hub.subscribe('t')
    }
    await serving(make({ '/events': sse(handler) }), async (url, server) => {
      const socket = dial(server.address().port, '127.0.0.1')
      socket.write('GET /events HTTP/1.1\r\nHost: x\r\n\r\n')
      await eventually(() => called)
      socket.destroy()
      await eventually(() => aborted, 'the signal', 1000)
      await sleep(10)
      assert.equal(hub.stats().opened, 0)
    })
  })
}
