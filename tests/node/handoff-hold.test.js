// Held streams: the connection stays the server's, and serves on when the stream is over.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Hub } from 'ssehub'

import { streaming } from './apps.js'
import { eventually, raw, serving, unchunk } from './helpers.js'

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'

/** The responses that a connection has had so far, from their heads on. */
const responses = client => client.text.split(/(?=HTTP\/1\.1 )/)

for (const [name, make] of Object.entries(streaming)) {
  test(`${name}: the connection is used again`, async () => {
    const hub = new Hub()
    const server = await make(() => hub.subscribe('t'), { handoff: 'hold' })
    await serving(server, async () => {
      const client = raw(server.address().port, GET)
      for (let round = 1; round <= 3; round += 1) {
        await eventually(() => hub.stats().held === 1, 'held')
        hub.publish('t', `round ${round}`)
        await eventually(() => client.text.includes(`round ${round}`))
        assert.equal(hub.disconnect({ topic: 't' }), 1)
        await eventually(() => client.text.endsWith('\r\n0\r\n\r\n'), 'the end')
        await eventually(() => hub.stats().connections === 0)
        assert.equal(client.ended, false)
        if (round < 3) client.socket.write(GET)
      }
      const bodies = responses(client).map(unchunk)
      assert.deepEqual(bodies.map(body => /data: (.*)\n\n$/.exec(body)[1]), ['round 1', 'round 2', 'round 3'])
      assert.deepEqual(hub.stats().handoffsRefused, {})
      client.socket.destroy()
    })
  })

  test(`${name}: a pipelined request is answered when the stream is over`, async () => {
    const hub = new Hub()
    const server = await make(request => hub.subscribe(request.headers['x-topic']), { handoff: 'hold' })
    const ask = topic => `GET / HTTP/1.1\r\nHost: x\r\nX-Topic: ${topic}\r\n\r\n`
    await serving(server, async () => {
      const client = raw(server.address().port, ask('first'))
      await eventually(() => hub.stats().held === 1, 'held')
      client.socket.write(ask('second'))
      // In-loop, since the response before it has the socket.
      await eventually(() => hub.stats().handoffsRefused.buffered === 1)
      hub.publish('second', 'waits')
      hub.publish('first', 'at once')
      await eventually(() => client.text.includes('at once'))
      assert.equal(responses(client).length, 1)
      hub.disconnect({ topic: 'first' })
      await eventually(() => client.text.includes('waits'))
      const [first, second] = responses(client)
      assert.match(unchunk(first), /data: at once\n\n$/)
      assert.equal(second.includes('at once'), false)
      hub.disconnect({ topic: 'second' })
      await eventually(() => client.text.endsWith('\r\n0\r\n\r\n'), 'the end')
      assert.match(unchunk(responses(client)[1]), /data: waits\n\n$/)
      assert.equal(hub.stats().connections, 0)
      client.socket.destroy()
    })
  })
}
