// How an EventSource ends: at the end of its stream, cut, by its mark, or because a function of the caller's failed.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorEvent, EventSource, EventSourceError } from 'ssehub'

import { collect, scripted, stream, told, whole } from './eventsource-helpers.js'
import { sleep } from './helpers.js'

const FAST = { when: 'always', delay: 0.001, minServerDelay: 0 }
const NOTHING = whole(204)
const GAP = 'id: 9\nevent: ssehub:gap\ndata: {"last_event_id":"3","reason":"expired"}\n\n'
const data = async source => (await collect(source)).map(event => event.data)

test('the end of a stream that is not asked for again is told to listeners, and is no failure', async () => {
  await scripted([stream('data: 1\n\n')], async ({ url, exchanges }) => {
    for (const options of [{ method: 'POST' }, { reconnect: false }, { json: {}, stopOn: '[DONE]', requireFinish: false }]) {
      await told(url, options, async record => {
        assert.equal(await record.end(), undefined)
        await sleep(0)
        assert.deepEqual(record.log.map(({ type, state }) => [type, state]), [
          ['open', undefined],
          ['message', undefined],
          ['error', EventSource.CLOSED],
        ])
        const [event] = record.errors
        assert.ok(event instanceof ErrorEvent)
        assert.deepEqual([event.error, event.status, event.attempt, event.delay], [undefined, undefined, undefined, undefined])
        assert.match(event.message, /has ended/)
        assert.equal(record.source.finished, false)
      })
      assert.deepEqual(await data(new EventSource(url, options)), ['1'])
    }
    assert.equal(exchanges.length, 6)
  })
})

test('stopOn: a stream that ends without its mark has failed, unless requireFinish says otherwise', async () => {
  await scripted([stream('data: 1\n\n')], async ({ url }) => {
    const read = async options => {
      const source = new EventSource(url, { json: {}, ...options })
      const seen = []
      let kind
      try {
        for await (const event of source) seen.push(event.data)
      } catch (error) {
        kind = error.kind
      }
      assert.deepEqual([seen, source.finished], [['1'], false])
      return kind
    }
    for (const stopOn of ['[DONE]', { event: 'end' }, ({ event }) => event === 'end']) {
      assert.equal(await read({ stopOn }), 'unfinished')
      assert.equal(await read({ stopOn, requireFinish: false }), undefined)
    }
    assert.equal(await read({}), undefined)
    assert.equal(await read({ requireFinish: true }), 'unfinished')
    await told(url, { json: {}, stopOn: '[DONE]' }, async record => {
      assert.equal((await record.end()).kind, 'unfinished')
      await sleep(0)
      assert.deepEqual(record.errors.map(event => event.error.kind), ['unfinished'])
    })
  })
})

test('onGap, onComment, stopOn: what they throw, or what their promise is rejected with, ends the source', async () => {
  const cause = new Error('cannot cope')
  const failing = () => { throw cause }
  const late = async () => { await sleep(1); failing() }
  const unhandled = []
  const note = reason => unhandled.push(reason)
  process.on('unhandledRejection', note)
  const open = exchange => exchange.write(`HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n:\n${GAP}data: x\n\n`)
  await scripted([open], async ({ url }) => {
    for (const name of ['onGap', 'onComment']) {
      for (const call of [failing, async () => failing(), late]) {
        await assert.rejects(collect(new EventSource(url, { [name]: call })), error => {
          assert.ok(error instanceof EventSourceError)
          return error.kind === 'callback' && error.cause === cause && error.message.includes(name)
        })
        await told(url, { [name]: call }, async record => {
          assert.equal((await record.end()).cause, cause)
          await sleep(0)
          assert.deepEqual(record.errors.map(event => event.error.cause), [cause])
        })
      }
    }
    await assert.rejects(collect(new EventSource(url, { stopOn: async () => failing() })), /cannot be async/)
    // Nobody is left to be told.
    let reject
    await told(url, { onGap: () => new Promise((_resolve, rejected) => { reject = rejected }) }, async record => {
      await record.until(({ messages }) => messages.length > 0)
      record.source.close()
      reject(cause)
      await sleep(1)
      assert.deepEqual(record.errors, [])
    })
  })
  process.off('unhandledRejection', note)
  assert.deepEqual(unhandled, [])
})

test('onComment: each comment, in its place among the events, for listeners and loops', async () => {
  const body = ': beat\nid: 1\ndata: a\n:among lines\n\n:\n:  bé\ndata: b\n\n: last\n'
  await scripted([stream(body)], async ({ url }) => {
    const expected = [':beat', ':among lines', 'a', ':', ': bé', 'b', ':last']
    const seen = []
    const options = { reconnect: false, onComment: comment => seen.push(`:${comment}`) }
    for await (const event of new EventSource(url, options)) {
      await sleep(1)
      seen.push(event.data)
    }
    assert.deepEqual(seen.splice(0), expected)
    await told(url, options, async record => {
      record.source.addEventListener('message', event => seen.push(event.data))
      await record.end()
      assert.deepEqual(seen, expected)
      assert.equal(record.source.lastEventId, '1')
    })
  })
})

test('a response that is cut at any byte: what is complete is there once, the rest is fetched again', async () => {
  const body = Buffer.from('id: 1\ndata: a\n\nid: 2\ndata: é\n\n')
  const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n'
  const sized = Buffer.concat([Buffer.from(`${head}Content-Length: ${body.length}\r\n\r\n`), body])
  const chunk = [`${head}Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n`, body, '\r\n0\r\n\r\n']
  for (const response of [sized, Buffer.concat(chunk.map(part => Buffer.from(part)))]) {
    for (let at = 0; at < response.length; at += 1) {
      const first = response.subarray(0, at)
      const complete = ['data: a\n\n', 'data: é\n\n'].filter(end => first.includes(end)).length
      await scripted([first, stream('data: last\n\n'), NOTHING], async ({ url, exchanges }) => {
        const seen = await data(new EventSource(url, { reconnect: FAST }))
        assert.deepEqual(seen, [...['a', 'é'].slice(0, complete), 'last'], `cut at ${at}`)
        assert.equal(exchanges[1].headers['last-event-id'], [undefined, '1', '2'][complete])
      })
    }
  }
})

test('the body of a refusal: 64 KiB of it', async () => {
  for (const size of [65_536, 65_537, 1_000_000]) {
    await scripted([whole(404, 'x'.repeat(size))], async ({ url }) => {
      await assert.rejects(collect(new EventSource(url)), ({ status, body }) => status === 404 && body.length === 65_536)
    })
  }
})
