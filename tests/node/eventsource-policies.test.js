// What may be asked of an EventSource beyond the standard: each policy against a server that does what is written here.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'

import { EventSource, EventSourceError } from 'ssehub'

import { HEAD, collect, scripted, stream, told, whole } from './eventsource-helpers.js'
import { sleep } from './helpers.js'

const FAST = { delay: 0.001, minServerDelay: 0 }
const NOTHING = whole(204)
const kinds = record => record.errors.map(event => event.error?.kind)

test('options: unknown ones, wrong types, impossible values', () => {
  const url = 'http://127.0.0.1:9/'
  for (const [options, Class, words] of [
    [{ header: {} }, TypeError, 'header'],
    [{ fetch }, TypeError, 'headers'],
    ['text', TypeError, 'object'],
    [{ headers: 'a: b' }, TypeError, 'headers'],
    [{ headers: { 'a b': 'c' } }, TypeError, 'a b'],
    [{ headers: { a: 'b\r\nc: d' } }, TypeError, 'a'],
    [{ headers: { 'Content-Length': '7' } }, TypeError, 'content-length'],
    [{ method: 'A B' }, TypeError, 'method'],
    [{ body: 'a', json: 1 }, TypeError, 'json'],
    [{ body: new ReadableStream() }, TypeError, 'body'],
    [{ json: 1n }, TypeError, 'BigInt'],
    [{ lastEventId: 7 }, TypeError, 'lastEventId'],
    [{ reconnect: 'yes' }, TypeError, 'reconnect'],
    [{ reconnect: { when: 'sometimes' } }, TypeError, 'reconnect.when'],
    [{ reconnect: { statuses: [99] } }, RangeError, 'reconnect.statuses'],
    [{ reconnect: { delay: 0 } }, RangeError, 'reconnect.delay'],
    [{ reconnect: { minServerDelay: 2, maxServerDelay: 1 } }, RangeError, 'server'],
    [{ redirects: 7 }, TypeError, 'redirects'],
    [{ onRedirect: true }, TypeError, 'onRedirect'],
    [{ onComment: true }, TypeError, 'onComment'],
    [{ stopOn: {} }, TypeError, 'stopOn'],
    [{ stopOn: { data: 'a', event: 'b' } }, TypeError, 'stopOn'],
    [{ signal: {} }, TypeError, 'AbortSignal'],
    [{ maxEventSize: 0 }, RangeError, 'maxEventSize'],
    [{ maxEventSize: 2 ** 30 }, RangeError, '500 MiB'],
    [{ timeout: 0 }, RangeError, 'timeout'],
    [{ http2: 2 }, TypeError, 'http2'],
    [{ ca: 'no PEM' }, TypeError, 'ca'],
    [{ key: 'k' }, TypeError, 'cert'],
    [{ proxy: 'gopher://x' }, TypeError, 'proxy'],
    [{ unixSocket: 7 }, TypeError, 'unixSocket'],
  ]) {
    assert.throws(
      () => new EventSource(url, options),
      error => error instanceof Class && error.message.toLowerCase().includes(words.toLowerCase()),
      inspect(options),
    )
  }
})

test('method, headers, and bodies of all kinds', async () => {
  const json = ['application/json', '{"a":[1]}']
  for (const [options, method, type, body] of [
    [{ json: { a: [1] } }, 'POST', ...json],
    [{ json: 'text' }, 'POST', 'application/json', '"text"'],
    [{ json: null }, 'POST', 'application/json', 'null'],
    [{ json: 1, headers: { 'content-type': 'application/x' } }, 'POST', 'application/x', '1'],
    [{ body: 'é', method: 'put' }, 'PUT', 'text/plain;charset=UTF-8', 'Ã©'],
    [{ body: new URLSearchParams({ a: 'b c' }) }, 'POST', 'application/x-www-form-urlencoded;charset=UTF-8', 'a=b+c'],
    [{ body: Buffer.from('bytes'), method: 'REPORT' }, 'REPORT', undefined, 'bytes'],
    [{ body: new Uint8Array([65]).buffer }, 'POST', undefined, 'A'],
    [{ body: new DataView(new ArrayBuffer(1)) }, 'POST', undefined, '\0'],
    [{ method: 'GET' }, 'GET', undefined, ''],
  ]) {
    await scripted([NOTHING], async ({ url, exchanges }) => {
      assert.deepEqual(await collect(new EventSource(url, options)), [])
      const [exchange] = exchanges
      assert.deepEqual([exchange.method, exchange.headers['content-type'], exchange.body], [method, type, body])
    })
  }
  const headers = new Headers([['X-A', '1'], ['x-a', '2']])
  for (const given of [headers, [['X-A', '1, 2']], { 'X-A': ['1', 2], 'X-B': undefined }]) {
    await scripted([NOTHING], async ({ url, exchanges }) => {
      await collect(new EventSource(url.replace('//', '//us%65r:p@'), { headers: given, lastEventId: 'é' }))
      assert.equal(exchanges[0].headers['x-a'], '1, 2')
      assert.equal('x-b' in exchanges[0].headers, false)
      assert.equal(exchanges[0].headers.authorization, `Basic ${btoa('user:p')}`)
      assert.equal(Buffer.from(exchanges[0].headers['last-event-id'], 'latin1').toString(), 'é')
    })
  }
})

test('other methods than GET are not repeated unless asked', async () => {
  const answers = [stream('data: once\n\n')]
  await scripted(answers, async ({ url, exchanges }) => {
    const source = new EventSource(url, { method: 'POST', body: 'order' })
    assert.deepEqual((await collect(source)).map(event => event.data), ['once'])
    assert.deepEqual([source.readyState, source.finished, exchanges.length], [EventSource.CLOSED, false, 1])
  })
  await scripted([...answers, NOTHING], async ({ url, exchanges }) => {
    await collect(new EventSource(url, { method: 'POST', body: 'order', reconnect: { ...FAST, when: 'always' } }))
    assert.deepEqual(exchanges.map(({ body }) => body), ['order', 'order'])
  })
  const cut = exchange => exchange.socket.end('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99\r\n\r\ndata: x\n\n')
  await scripted([cut], async ({ url, exchanges }) => {
    const source = new EventSource(url, { json: {} })
    await assert.rejects(collect(source), error => error instanceof EventSourceError && error.kind === 'interrupted')
    assert.equal(exchanges.length, 1)
    assert.deepEqual(await collect(source), [], 'told once')
  })
})

test('reconnect: false, on errors only, never a first time', async () => {
  await scripted([stream('data: x\n\n')], async ({ url, exchanges }) => {
    await collect(new EventSource(url, { reconnect: false }))
    await collect(new EventSource(url, { reconnect: { when: 'error' } }))
    assert.equal(exchanges.length, 2)
  })
  await scripted([whole(503)], async ({ url, exchanges }) => {
    await assert.rejects(collect(new EventSource(url, { reconnect: { first: false } })), { kind: 'status', status: 503 })
    assert.equal(exchanges.length, 1)
  })
})

test('429 and 5xx are tried again where reconnect is given, as Retry-After says', async () => {
  const answers = [whole(503), whole(429, '', 'Retry-After: 2\r\n'), stream('data: x\n\n'), NOTHING]
  await scripted(answers, async ({ url, exchanges }) => {
    await told(url, { reconnect: { ...FAST, maxServerDelay: 0.01 } }, async record => {
      await record.end()
      assert.deepEqual(kinds(record), ['status', 'status', 'ended', undefined])
      assert.deepEqual(record.errors.slice(0, 2).map(event => [event.status, event.attempt]), [[503, 1], [429, 2]])
      assert.equal(record.errors[1].error.retryAfter, 2)
      assert.ok(record.errors[1].delay >= 0.01)
      assert.equal(exchanges.length, 4)
    })
  })
  await scripted([whole(404)], async ({ url, exchanges }) => {
    await told(url, { reconnect: true }, async record => {
      assert.equal((await record.end()).status, 404)
      assert.equal(exchanges.length, 1)
    })
  })
  await scripted([whole(404), whole(418), NOTHING], async ({ url, exchanges }) => {
    await collect(new EventSource(url, { reconnect: { ...FAST, statuses: [404, [410, 420]] } }))
    assert.equal(exchanges.length, 3)
  })
})

test('Retry-After may be a date', async () => {
  const date = after => new Date(Date.now() + after).toUTCString()
  const answers = [whole(503, '', `Retry-After: ${date(3_600_000)}\r\n`), whole(503, '', `Retry-After: ${date(-3_600_000)}\r\n`)]
  await scripted(answers, async ({ url }) => {
    const rejected = fits => assert.rejects(collect(new EventSource(url)), ({ retryAfter }) => fits(retryAfter))
    await rejected(seconds => seconds > 3500 && seconds <= 3600)
    await rejected(seconds => seconds === 0)
  })
})

test('Last-Event-ID: left out where it is no header value, and sent again after that', async () => {
  const answers = [
    stream('id: a\tb\x7f\ndata: 1\n\n'),
    stream('id: ok\ndata: 2\n\n'),
    stream('id: \x01\ndata: 3\n\n'),
    NOTHING,
  ]
  await scripted(answers, async ({ url, exchanges }) => {
    const events = await collect(new EventSource(url, { reconnect: FAST }))
    assert.deepEqual(events.map(event => event.id), ['a\tb\x7f', 'ok', '\x01'])
    assert.deepEqual(exchanges.map(({ headers }) => headers['last-event-id']), [undefined, undefined, 'ok', undefined])
  })
})

test('maxRetries, maxElapsed: the error that was last', async () => {
  await scripted([whole(503)], async ({ url, exchanges }) => {
    await assert.rejects(
      collect(new EventSource(url, { reconnect: { ...FAST, maxRetries: 3 } })),
      { kind: 'status', isRetryable: true },
    )
    assert.equal(exchanges.length, 4)
    await assert.rejects(collect(new EventSource(url, { reconnect: { ...FAST, maxElapsed: 0 } })), { status: 503 })
  })
})

test('headers by a function: for each attempt, async too, and again after a 401', async () => {
  const answers = [stream('data: 1\n\n'), whole(401), stream('data: 2\n\n'), NOTHING]
  await scripted(answers, async ({ url, exchanges }) => {
    const asked = []
    const headers = async ({ attempt, status, signal }) => {
      assert.ok(signal instanceof AbortSignal)
      await sleep(1)
      asked.push([attempt, status])
      return { authorization: `token ${asked.length}` }
    }
    const events = await collect(new EventSource(url, { headers, reconnect: FAST }))
    assert.deepEqual(events.map(event => event.data), ['1', '2'])
    assert.deepEqual(asked, [[1, undefined], [2, undefined], [3, 401], [4, undefined]])
    assert.deepEqual(exchanges.map(exchange => exchange.headers.authorization), ['token 1', 'token 2', 'token 3', 'token 4'])
  })
  await scripted([whole(401)], async ({ url, exchanges }) => {
    await assert.rejects(collect(new EventSource(url, { headers: () => undefined })), { kind: 'status', status: 401 })
    assert.equal(exchanges.length, 2)
  })
})

test('a function that fails ends the source, and its error is the cause', async () => {
  const cause = new Error('no token today')
  await scripted([stream('data: x\n\n')], async ({ url }) => {
    const failing = () => { throw cause }
    for (const options of [
      { headers: failing },
      { headers: async () => failing() },
      { stopOn: failing },
    ]) {
      await assert.rejects(collect(new EventSource(url, options)), error => {
        assert.ok(error instanceof EventSourceError)
        assert.deepEqual([error.kind, error.cause], ['callback', cause])
        return error.message.includes('no token today')
      })
    }
    await assert.rejects(collect(new EventSource(url, { stopOn: async () => false })), /cannot be async/)
    for (const bad of ['text', { 'a b': 'c' }, { a: 'b\n' }, { host: {} }]) {
      await assert.rejects(collect(new EventSource(url, { headers: () => bad })), error => {
        return error.kind === 'callback' && error.cause instanceof TypeError
      })
    }
  })
})

test('a function that is still busy is told when the source is closed', async () => {
  await scripted([NOTHING], async ({ url, exchanges }) => {
    const aborted = await new Promise(resolve => {
      const source = new EventSource(url, {
        headers: ({ signal }) => new Promise(() => {
          signal.addEventListener('abort', () => resolve(true))
          source.close()
        }),
      })
    })
    assert.ok(aborted)
    assert.equal(exchanges.length, 0)
  })
})

test('redirects: secrets stay at home, others are asked, loops end', async () => {
  await scripted([HEAD + 'data: x\n\n'], async other => {
    const there = other.url.replace('127.0.0.1', 'localhost')
    const away = whole(302, '', `Location: ${there}\r\n`)
    const options = { lastEventId: '7', headers: { authorization: 'secret', cookie: 'c=1', 'x-own': '1' } }
    await scripted([away], async ({ url, exchanges }) => {
      const asked = []
      const onRedirect = async question => asked.push(question) > 0
      await told(url, { ...options, onRedirect }, async record => {
        await record.until(({ messages }) => messages.length > 0)
        assert.equal(exchanges[0].headers.authorization, 'secret')
        const { headers } = other.exchanges[0]
        assert.deepEqual(['authorization', 'cookie', 'x-own', 'last-event-id'].filter(name => name in headers), [])
        const [{ signal, ...question }] = asked
        assert.ok(signal instanceof AbortSignal)
        assert.deepEqual(question, { from: url, to: there, status: 302, method: 'GET' })
      })
      for (const refusal of [{ onRedirect: () => false }, { redirects: false }, { redirects: { max: 0 } }]) {
        await assert.rejects(collect(new EventSource(url, refusal)), { kind: 'redirect' })
      }
    })
    await scripted([whole(307, '', `Location: ${there}\r\n`)], async ({ url }) => {
      await assert.rejects(collect(new EventSource(url, { body: 'b' })), { kind: 'redirect', status: 307 })
      const headers = { 'content-encoding': 'gzip', 'x-own': '1' }
      await collect(new EventSource(url, { body: 'b', headers, redirects: { foreignBody: true } }))
      const { body, headers: sent } = other.exchanges.at(-1)
      assert.deepEqual([body, sent['content-encoding'], sent['x-own']], ['b', 'gzip', undefined])
    })
  })
  await scripted([whole(301, '', 'Location: /again\r\n')], async ({ url, exchanges }) => {
    await assert.rejects(collect(new EventSource(url)), { kind: 'redirect' })
    assert.equal(exchanges.length, 11)
  })
})

test('reconnects start at the original URL', async () => {
  const answers = [whole(301, '', 'Location: /there\r\n'), stream('data: x\n\n'), NOTHING]
  await scripted(answers, async ({ url, exchanges }) => {
    await collect(new EventSource(url, { reconnect: FAST }))
    assert.deepEqual(exchanges.map(({ path }) => path), ['/stream', '/there', '/stream'])
  })
})

test('stopOn: by data, by type, by a function; no reconnect', async () => {
  const body = 'data: 1\n\nevent: end\ndata: bye\n\ndata: [DONE]\n\ndata: never\n\n'
  await scripted([stream(body)], async ({ url, exchanges }) => {
    for (const [stopOn, expected] of [
      ['[DONE]', ['1', 'bye']],
      [{ data: '[DONE]' }, ['1', 'bye']],
      [{ event: 'end' }, ['1']],
      [event => event.event === 'end', ['1', 'bye']],
    ]) {
      const source = new EventSource(url, { stopOn, reconnect: true })
      assert.deepEqual((await collect(source)).map(event => event.data), expected)
      assert.deepEqual([source.finished, source.readyState], [true, EventSource.CLOSED])
    }
    assert.equal(exchanges.length, 4)
    await told(url, { stopOn: '[DONE]' }, async record => {
      assert.equal(await record.end(), undefined)
      assert.deepEqual([record.messages, record.find('end').length, record.errors], [['1'], 1, []])
    }, ['end'])
  })
})

test('maxEventSize: an endless line is an error', async () => {
  await scripted([stream(`data: ok\n\ndata: ${'x'.repeat(5000)}`)], async ({ url }) => {
    await told(url, { maxEventSize: 1000 }, async record => {
      const error = await record.end()
      assert.deepEqual([error.kind, error.isRetryable, record.messages], ['event_too_large', false, ['ok']])
    })
  })
})

test('timeout: silence is a lost connection; comments are no silence', async () => {
  const beating = exchange => {
    exchange.write(HEAD)
    const timer = setInterval(() => exchange.write(': beat\n'), 50)
    exchange.socket.on('close', () => clearInterval(timer))
    setTimeout(() => exchange.write('data: late\n\n'), 1200)
  }
  await scripted([exchange => exchange.write(HEAD), beating], async ({ url }) => {
    await told(url, { timeout: 0.8, reconnect: FAST }, async record => {
      await record.until(({ messages }) => messages.length > 0)
      assert.deepEqual(kinds(record), ['timeout'])
    })
  })
  await scripted([() => {}], async ({ url }) => {
    await assert.rejects(collect(new EventSource(url, { timeout: 0.1, reconnect: false })), { kind: 'timeout', isRetryable: true })
  })
})

test('checkContentType: false takes what there is', async () => {
  await scripted([whole(200, 'data: x\n\n', 'Content-Type: text/plain\r\n')], async ({ url }) => {
    const events = await collect(new EventSource(url, { checkContentType: false, reconnect: false }))
    assert.deepEqual(events, [{ event: 'message', data: 'x', id: '' }])
  })
})

test('restart: a new connection at once, with the id; no error', async () => {
  const answers = [exchange => exchange.write(`${HEAD}id: 5\ndata: 1\n\n`), exchange => exchange.write(`${HEAD}data: 2\n\n`)]
  await scripted(answers, async ({ url, exchanges }) => {
    await told(url, {}, async record => {
      await record.until(({ messages }) => messages.length > 0)
      record.source.restart()
      await record.until(({ messages }) => messages.length > 1)
      assert.equal(exchanges[1].headers['last-event-id'], '5')
      assert.deepEqual(record.errors, [])
      record.source.close()
      record.source.restart()
      await sleep(50)
      assert.equal(exchanges.length, 2)
    })
  })
  await scripted([whole(503), exchange => exchange.write(HEAD)], async ({ url }) => {
    await told(url, { reconnect: { delay: 1000, maxDelay: 1000, minServerDelay: 1000, maxServerDelay: 1000 } }, async record => {
      await record.until(({ errors }) => errors.length > 0)
      record.source.restart()
      await record.until(({ find }) => find('open').length > 0)
    })
  })
})

test('signal: closes; before the start, too', async () => {
  await scripted([exchange => exchange.write(HEAD)], async ({ url, exchanges }) => {
    const controller = new AbortController()
    await told(url, { signal: controller.signal }, async record => {
      await record.until(({ find }) => find('open').length > 0)
      controller.abort()
      assert.equal(record.source.readyState, EventSource.CLOSED)
      await record.end()
      assert.deepEqual(record.errors, [])
    })
    const reason = new Error('why')
    const aborted = new EventSource(url, { signal: AbortSignal.abort(reason) })
    assert.equal(aborted.readyState, EventSource.CLOSED)
    await assert.rejects(collect(aborted), reason)
    await aborted.closed
    assert.equal(exchanges.length, 1)
  })
})
