// EventSource as an interface: what the standard says that scripts see.
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { test } from 'node:test'
import { inspect } from 'node:util'

import { ErrorEvent, EventSource, EventSourceError } from 'ssehub'

import { HEAD, scripted, stream, told, whole } from './eventsource-helpers.js'
import { vectors } from './helpers.js'

test('constants, names, and what is enumerable', () => {
  for (const target of [EventSource, EventSource.prototype]) {
    assert.deepEqual([target.CONNECTING, target.OPEN, target.CLOSED], [0, 1, 2])
    assert.throws(() => { target.OPEN = 7 }, TypeError)
  }
  assert.equal(String(EventSource.prototype), '[object EventSource]')
  assert.equal(EventSource.name, 'EventSource')
  assert.equal(EventSource.length, 1)
  const names = ['url', 'withCredentials', 'readyState', 'onopen', 'onmessage', 'onerror', 'close', 'CONNECTING', 'OPEN', 'CLOSED']
  assert.deepEqual(Object.keys(EventSource.prototype).sort(), names.sort())
  assert.throws(() => EventSource('http://127.0.0.1'), TypeError)
  assert.throws(() => new EventSource(), TypeError)
})

test('URLs: absolute ones, as the standard writes them', async () => {
  for (const url of ['', 'nonsense', '/relative', 'http://this is bad']) {
    assert.throws(
      () => new EventSource(url),
      error => error instanceof DOMException && error.name === 'SyntaxError' && error.message.includes(url),
    )
  }
  assert.throws(() => new EventSource('ftp://127.0.0.1/'), TypeError)
  await scripted([HEAD], async ({ port }) => {
    await told(`HTTP://LOCALHOST:${port}/a b?c#d`, {}, ({ source }) => {
      assert.equal(source.url, `http://localhost:${port}/a%20b?c#d`)
      assert.equal(source.readyState, EventSource.CONNECTING)
      assert.equal(source.withCredentials, false)
    })
    await told(new URL(`http://127.0.0.1:${port}/`), { withCredentials: true }, ({ source }) => {
      assert.equal(source.withCredentials, true)
    })
    await told(`http://127.0.0.1:${port}/`, null, ({ source }) => assert.equal(source.withCredentials, false))
  })
})

test('open, events of all types, error, close', async () => {
  const body = 'id: 1\ndata: one\n\nevent: named\ndata: two\ndata: lines\n\nevent: open\ndata: o\n\nid\ndata: é日🙂\n\n'
  await scripted([stream(body), exchange => exchange.write(HEAD)], async ({ url, port, requests }) => {
    const seen = []
    await told(url, {}, async record => {
      const { source } = record
      source.addEventListener('message', event => seen.push(event))
      await record.until(({ find }) => find('open').length === 3)
      assert.deepEqual(record.log.map(({ event: _event, ...entry }) => entry), [
        { type: 'open' },
        { type: 'message', data: 'one', id: '1' },
        { type: 'named', data: 'two\nlines', id: '1' },
        { type: 'open' },
        { type: 'message', data: 'é日🙂', id: '' },
        { type: 'error', state: EventSource.CONNECTING },
        { type: 'open' },
      ])
      const [event] = seen
      assert.ok(event instanceof MessageEvent)
      assert.equal(event.origin, `http://127.0.0.1:${port}`)
      assert.equal(event.target, source)
      assert.equal(event.bubbles || event.cancelable, false)
      assert.deepEqual([event.ports, event.source, String(event)], [[], null, '[object MessageEvent]'])
      assert.match(inspect(event), /^MessageEvent \{\s+type: 'message',\s+data: 'one',\s+origin: .*,\s+lastEventId: '1'\s+\}$/)
      assert.equal(source.readyState, EventSource.OPEN)
      const [error] = record.errors
      assert.ok(error instanceof ErrorEvent && error instanceof Event)
      assert.equal(error.error.kind, 'ended')
      assert.ok(error.delay > 0 && error.attempt === 1)
      const [, second] = await requests(2)
      source.close()
      assert.equal(source.readyState, EventSource.CLOSED)
      await new Promise(resolve => { second.socket.on('close', resolve) })
      assert.equal(await source.closed, undefined)
      source.close()
    }, ['named'])
  })
})

test('handlers: one per type, in the place of the first', async () => {
  await scripted([stream('data: x\n\ndata: y\n\n')], async ({ url }) => {
    const source = new EventSource(url)
    const calls = []
    assert.deepEqual([source.onopen, source.onmessage, source.onerror], [null, null, null])
    source.onmessage = () => calls.push('never')
    source.addEventListener('message', () => calls.push('listener'))
    const onmessage = function (event) {
      assert.equal(this, source)
      calls.push(event.data)
      source.onmessage = null
    }
    source.onmessage = onmessage
    assert.equal(source.onmessage, onmessage)
    source.onopen = 7
    assert.equal(source.onopen, null)
    await new Promise(resolve => { source.onerror = resolve })
    source.close()
    assert.deepEqual(calls, ['x', 'listener', 'listener'])
    assert.equal(source.onmessage, null)
  })
})

test('handlers that are objects: kept and shown, called only if they can be', async () => {
  await scripted([stream('data: x\n\n')], async ({ url }) => {
    const source = new EventSource(url, { reconnect: false })
    const called = []
    const object = { handleEvent: () => called.push('handleEvent') }
    source.onmessage = object
    assert.equal(source.onmessage, object)
    source.onmessage = 'text'
    assert.equal(source.onmessage, null)
    source.onmessage = object
    source.addEventListener('message', { handleEvent: ({ data }) => called.push(data) })
    source.onopen = {}
    assert.deepEqual(source.onopen, {})
    await source.closed
    assert.deepEqual(called, ['x'])
  })
})

test('a listener that throws is reported, and the others and later events come', async () => {
  const reported = []
  process.setUncaughtExceptionCaptureCallback(error => reported.push(error.message))
  try {
    await scripted([stream('data: 1\n\ndata: 2\n\n')], async ({ url }) => {
      await told(url, { reconnect: false }, async record => {
        record.source.onopen = () => { throw new Error('open') }
        record.source.onmessage = ({ data }) => { throw new Error(data) }
        record.source.onerror = () => { throw new Error('error') }
        const seen = []
        record.source.addEventListener('message', ({ data }) => seen.push(data))
        await record.end()
        await new Promise(resolve => { setImmediate(resolve) })
        assert.deepEqual(seen, ['1', '2'])
        assert.deepEqual(record.messages, ['1', '2'])
        assert.deepEqual(reported, ['open', '1', '2', 'error'])
      })
    })
  } finally {
    process.setUncaughtExceptionCaptureCallback(null)
  }
})

test('close() in onopen and in onerror: nothing more is told, nothing more is asked', async () => {
  await scripted([stream('data: 1\n\n')], async ({ url, exchanges }) => {
    for (const [type, messages] of [['open', []], ['error', ['1']]]) {
      await told(url, {}, async record => {
        record.source[`on${type}`] = () => record.source.close()
        assert.equal(await record.end(), undefined)
        await new Promise(resolve => { setTimeout(resolve, 150) })
        assert.deepEqual(record.messages, messages)
        assert.equal(record.find(type).length, 1)
        assert.equal(record.errors.length, type === 'error' ? 1 : 0)
        assert.equal(record.source.readyState, EventSource.CLOSED)
      })
    }
    assert.equal(exchanges.length, 2)
  })
})

test('origin: that of the final URL, also after a redirect to another', async () => {
  await scripted([stream('data: x\n\n')], async other => {
    const there = other.url.replace('127.0.0.1', 'localhost')
    await scripted([whole(302, '', `Location: ${there}\r\n`)], async ({ url }) => {
      const source = new EventSource(url, { reconnect: false })
      const event = await new Promise(resolve => { source.onmessage = resolve })
      assert.equal(event.origin, new URL(there).origin)
      assert.equal(source.url, url)
      source.close()
    })
  })
})

test('events of the stream of type `error` and `open` are messages of that type', async () => {
  await scripted([stream('event: error\nid: 1\ndata: wrong\n\nevent: open\ndata: wide\n\n')], async ({ url }) => {
    const source = new EventSource(url, { reconnect: false })
    const seen = []
    for (const type of ['open', 'error']) source[`on${type}`] = event => seen.push(event)
    await source.closed
    await new Promise(resolve => { setImmediate(resolve) })
    assert.deepEqual(seen.map(event => [event.type, event instanceof MessageEvent, event.data]), [
      ['open', false, undefined],
      ['error', true, 'wrong'],
      ['open', true, 'wide'],
      ['error', false, undefined],
    ])
    assert.equal(seen[1].lastEventId, '1')
    assert.ok(seen[3] instanceof ErrorEvent)
  })
})

test('a listener that closes is told nothing more', async () => {
  await scripted([stream('data: 1\n\ndata: 2\n\ndata: 3\n\n')], async ({ url, exchanges }) => {
    await told(url, {}, async record => {
      record.source.addEventListener('message', event => { if (event.data === '2') record.source.close() })
      await record.end()
      assert.deepEqual(record.messages, ['1', '2'])
      assert.equal(record.source.lastEventId, '')
      assert.equal(record.errors.length, 0)
    })
    assert.equal(exchanges.length, 1)
  })
})

test('events wait for the first listener; later ones get what comes then', async () => {
  await scripted([exchange => exchange.write(`${HEAD}id: 7\ndata: early\n\n`)], async ({ url, requests }) => {
    const source = new EventSource(url)
    const [exchange] = await requests(1)
    await new Promise(resolve => { setTimeout(resolve, 50) })
    assert.equal(source.readyState, EventSource.OPEN)
    assert.equal(source.lastEventId, '')
    const first = await new Promise(resolve => { source.onmessage = resolve })
    assert.equal(first.data, 'early')
    assert.equal(source.lastEventId, '7')
    const late = new Promise(resolve => { source.addEventListener('late', resolve) })
    exchange.write('event: late\ndata: x\n\n')
    assert.equal((await late).lastEventId, '7')
    source.close()
  })
})

test('listeners run in the context in which the source was made', async () => {
  const context = new AsyncLocalStorage()
  await scripted([exchange => exchange.write(`${HEAD}data: x\n\n`)], async ({ url }) => {
    const source = context.run('ours', () => new EventSource(url))
    const store = await new Promise(resolve => { source.onmessage = () => resolve(context.getStore()) })
    source.close()
    assert.equal(store, 'ours')
  })
})

test('the response, and the errors, say what is known', async () => {
  const limit = whole(429, 'slow down', 'Retry-After: 7\r\nX-Limit: a\r\nX-Limit: b\r\n')
  await scripted([limit], async ({ url }) => {
    await told(url, {}, async record => {
      const error = await record.end()
      assert.ok(error instanceof EventSourceError)
      assert.equal(error.name, 'EventSourceError')
      assert.equal(error.code, 'ERR_SSEHUB_EVENT_SOURCE')
      assert.deepEqual([error.kind, error.status, error.retryAfter, error.isRetryable, error.url], ['status', 429, 7, false, url])
      assert.equal(error.headers.get('x-limit'), 'a, b')
      assert.equal(error.body.toString(), 'slow down')
      const [event] = record.errors
      assert.equal(event.error, error)
      assert.deepEqual([event.status, event.code, event.message], [429, 429, error.message])
      assert.match(inspect(event), /ErrorEvent \{\s+type: 'error',\s+message: .*429/)
      assert.equal(record.source.response, undefined)
    })
  })
  await scripted([exchange => exchange.write(HEAD)], async ({ url, port }) => {
    await told(url, {}, async record => {
      await record.until(({ find }) => find('open').length > 0)
      const { response } = record.source
      assert.deepEqual(
        [response.status, response.url, response.http, response.remote, response.attempt],
        [200, url, 'HTTP/1.1', `127.0.0.1:${port}`, 1],
      )
      assert.equal(response.headers.get('content-type'), 'text/event-stream')
    })
  })
})

test('vectors, end to end', async () => {
  const cases = vectors('parse').filter(c => c.error === undefined && c.max_event_size === undefined)
  assert.ok(cases.length > 200)
  const answers = cases.map(c => stream(c.input_hex === undefined ? c.input : Buffer.from(c.input_hex.replaceAll(' ', ''), 'hex')))
  await scripted(answers, async ({ url }) => {
    for (const c of cases) {
      const source = new EventSource(url, { reconnect: false })
      const got = []
      for await (const event of source) got.push(event)
      const events = c.events.map(({ event = 'message', data, id = '' }) => ({ event, data, id }))
      assert.deepEqual(got, events, c.name)
      assert.equal(source.lastEventId, c.last_event_id ?? '', c.name)
    }
  })
})
