// The web platform tests' behaviours over HTTP (`eventsource/` there), told anew. What they say about bytes is in
// `tests/vectors`, which eventsource.test.js reads end to end. Left out is what only browsers have: documents, CORS,
// cookies, workers of theirs.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { EventSource } from 'ssehub'

import { HEAD, scripted, stream, told, whole } from './eventsource-helpers.js'
import { sleep } from './helpers.js'

const SOON = 'retry: 100\n'
const NOTHING = whole(204)

test('request-accept, request-cache-control: also across origins', async () => {
  await scripted([HEAD + 'data: x\n\n'], async other => {
    const away = whole(307, '', `Location: ${other.url.replace('127.0.0.1', 'localhost')}\r\n`)
    await scripted([away], async ({ url, exchanges }) => {
      await told(url, {}, async record => {
        await record.until(({ messages }) => messages.length > 0)
        for (const { headers, method } of [exchanges[0], other.exchanges[0]]) {
          assert.equal(method, 'GET')
          assert.equal(headers.accept, 'text/event-stream')
          assert.equal(headers['cache-control'], 'no-cache')
          assert.equal('last-event-id' in headers, false)
        }
      })
    })
  })
})

for (const status of [301, 302, 303, 307, 308]) {
  test(`request-redirect: ${status}`, async () => {
    const answers = [whole(status, '', 'Location: /there\r\n'), exchange => exchange.write(HEAD + 'data: x\n\n')]
    await scripted(answers, async ({ url, port, exchanges }) => {
      await told(url, {}, async record => {
        await record.until(({ messages }) => messages.length > 0)
        assert.deepEqual(exchanges.map(exchange => exchange.path), ['/stream', '/there'])
        assert.equal(record.source.url, url)
        assert.equal(record.source.response.url, `http://127.0.0.1:${port}/there`)
      })
    })
  })
}

for (const status of [204, 205, 210, 299, 404, 410, 503]) {
  test(`request-status-error: ${status}`, async () => {
    const body = status === 204 || status === 205 ? '' : 'data: x\n\n'
    await scripted([whole(status, body, 'Content-Type: text/event-stream\r\n')], async ({ url, exchanges }) => {
      await told(url, {}, async record => {
        await record.end()
        await sleep(0)
        assert.deepEqual(record.log.map(({ type, state }) => [type, state]), [['error', EventSource.CLOSED]])
        assert.equal(record.errors[0].status, status)
        assert.equal(exchanges.length, 1)
        assert.equal(record.source.finished, status === 204)
      })
    })
  })
}

test('format-mime-bogus, -valid-bogus, and no type: CLOSED with a plain error', async () => {
  for (const type of ['x bogus', 'text/x-bogus', 'text/event-stream-x', 'text/plain', undefined]) {
    const answer = whole(200, 'data: x\n\n', type === undefined ? '' : `Content-Type: ${type}\r\n`)
    await scripted([answer], async ({ url }) => {
      await told(url, {}, async record => {
        const error = await record.end()
        await sleep(0)
        assert.equal(error.kind, 'content_type')
        assert.equal(error.status, 200)
        assert.deepEqual(record.log.map(({ type: seen, state }) => [seen, state]), [['error', EventSource.CLOSED]])
      })
    })
  }
})

test('format-mime-trailing-semicolon, format-utf-8: parameters do not matter', async () => {
  for (const type of ['text/event-stream;', 'text/event-stream;charset=windows-1252', 'Text/Event-Stream ; a=b']) {
    await scripted([whole(200, 'data: ok…\n\n', `Content-Type: ${type}\r\n`)], async ({ url }) => {
      await told(url, {}, async record => {
        await record.until(({ messages }) => messages.length > 0)
        assert.deepEqual(record.messages, ['ok…'])
      })
    })
  }
})

test('format-field-id: kept over reconnects, sent back as UTF-8', async () => {
  const answers = [stream(`id: …\n${SOON}data: hello\n\n`), stream('data: again\n\n'), NOTHING]
  await scripted(answers, async ({ url, exchanges }) => {
    await told(url, {}, async record => {
      await record.end()
      assert.deepEqual(record.find('message').map(({ id }) => id), ['…', '…'])
      const sent = exchanges.map(({ headers }) => headers['last-event-id'])
      assert.equal(sent[0], undefined)
      assert.deepEqual(sent.slice(1).map(id => Buffer.from(id, 'latin1').toString()), ['…', '…'])
    })
  })
})

test('format-field-id-3, -id-null: persists, `id:` and `id` reset it, NUL is ignored', async () => {
  const blocks = ['id: 1\ndata: a', 'data: b', 'id\ndata: c', 'id: 2\ndata: d', 'id: x\0y\ndata: e', 'id:\ndata: f']
  const answers = [stream(SOON + blocks.join('\n\n') + '\n\n'), NOTHING]
  await scripted(answers, async ({ url, exchanges }) => {
    await told(url, {}, async record => {
      await record.end()
      assert.deepEqual(record.find('message').map(({ id }) => id), ['1', '1', '', '2', '2', ''])
      assert.equal('last-event-id' in exchanges[1].headers, false)
    })
  })
})

test('format-data-before-final-empty-line: an unfinished block is dropped, and its id with it', async () => {
  const answers = [stream(`${SOON}id: 1\ndata: whole\n\nid: 2\ndata: cut`), stream('id: 3\ndata: cut again\n'), NOTHING]
  await scripted(answers, async ({ url, exchanges }) => {
    await told(url, {}, async record => {
      await record.end()
      assert.deepEqual(record.messages, ['whole'])
      assert.deepEqual(exchanges.map(({ headers }) => headers['last-event-id']), [undefined, '1', '1'])
    })
  })
})

test('format-field-retry, -bogus, -empty: the delay that follows', async () => {
  for (const [retry, least] of [['retry: 03000', 3], ['retry: 3000\nretry: 1000x', 3], ['retry: 2500\nretry', 2.5]]) {
    await scripted([stream(`${retry}\n\ndata: x\n\n`)], async ({ url }) => {
      await told(url, {}, async record => {
        await record.until(({ errors }) => errors.length > 0)
        const { delay } = record.errors[0]
        assert.ok(delay >= least && delay <= least * 1.25, `${retry}: ${delay}`)
      })
    })
  }
})

test('eventsource-reconnect: after a clean end, with an error while CONNECTING', async () => {
  await scripted([stream(`${SOON}data: 1\n\n`), stream('data: 2\n\n'), NOTHING], async ({ url }) => {
    await told(url, {}, async record => {
      await record.end()
      await sleep(0)
      assert.deepEqual(record.log.map(({ type, data, state }) => data ?? state ?? type), [
        'open', '1', EventSource.CONNECTING,
        'open', '2', EventSource.CONNECTING,
        EventSource.CLOSED,
      ])
    })
  })
})

test('eventsource-close: no more events, no more connections, whatever the server does', async () => {
  await scripted([exchange => exchange.write(`${HEAD}${SOON}data: 1\n\n`)], async ({ url, exchanges }) => {
    await told(url, {}, async record => {
      assert.equal(record.source.readyState, EventSource.CONNECTING)
      await record.until(({ messages }) => messages.length > 0)
      assert.equal(record.source.readyState, EventSource.OPEN)
      record.source.close()
      const closed = new Promise(resolve => { exchanges[0].socket.on('close', resolve) })
      exchanges[0].write('data: 2\n\n')
      await closed
      await sleep(300)
      assert.deepEqual(record.messages, ['1'])
      assert.equal(record.errors.length, 0)
      assert.equal(exchanges.length, 1)
    })
  })
})

test('eventsource-request-cancellation: closed before there is an answer', async () => {
  const late = exchange => exchange.socket.on('close', () => exchange.write(HEAD + 'data: x\n\n'))
  await scripted([late], async ({ url, requests, exchanges }) => {
    await told(url, {}, async record => {
      const [exchange] = await requests(1)
      const closed = new Promise(resolve => { exchange.socket.on('close', resolve) })
      record.source.close()
      await closed
      await sleep(300)
      assert.deepEqual(record.log, [])
      assert.equal(record.source.readyState, EventSource.CLOSED)
      assert.equal(exchanges.length, 1)
    })
  })
})

test('nobody there: errors while CONNECTING, until somebody is', async () => {
  let port
  await scripted([HEAD], async server => { port = server.port })
  await told(`http://127.0.0.1:${port}/`, {}, async record => {
    await record.until(({ errors }) => errors.length > 0)
    assert.equal(record.errors[0].error.kind, 'connect')
    assert.equal(record.source.readyState, EventSource.CONNECTING)
  })
})
