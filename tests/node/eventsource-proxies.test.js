// Through what an EventSource reaches its server: proxies of all kinds.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { test } from 'node:test'

import { EventSource } from 'ssehub'

import { certificates, collect, scripted, whole } from './eventsource-helpers.js'
import { serving } from './helpers.js'

const pem = certificates()

function greet(req, res) {
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  res.end(`data: hello over ${req.httpVersion}\n\n`)
}

const data = async (url, options) =>
  (await collect(new EventSource(url, { reconnect: false, ...options }))).map(event => event.data)

// No proxies are set from now on, and at the end of the test those that were.
function environment(t) {
  const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY'].flatMap(name => [name, name.toLowerCase()])
  const former = names.map(name => [name, process.env[name]])
  t.after(() => {
    for (const [name, value] of former) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  })
  for (const name of names) delete process.env[name]
}

// A proxy that connects to any port of this machine, and what it was asked for.
function tunnel() {
  const asked = []
  const proxy = http.createServer()
  proxy.on('connect', (req, socket, head) => {
    asked.push(req.url)
    const target = net.connect(Number(req.url.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      target.write(head)
      target.pipe(socket).pipe(target)
    })
    target.on('error', () => {})
    socket.on('error', () => {})
  })
  return { proxy, asked }
}

test('by option, by the environment, and around it', async t => {
  environment(t)
  const setAround = hosts => { for (const name of ['NO_PROXY', 'no_proxy']) process.env[name] = hosts }
  await serving(greet, async origin => {
    const seen = []
    const proxy = http.createServer((req, res) => {
      seen.push([req.url, req.headers['proxy-authorization']])
      req.pipe(http.request(req.url, { method: req.method, headers: req.headers }, answer => {
        res.writeHead(answer.statusCode, answer.headers)
        answer.pipe(res)
      }))
    })
    await serving(proxy, async through => {
      const url = `${origin}/a?b`
      assert.deepEqual(await data(url, { proxy: through.replace('//', '//u:p@') }), ['hello over 1.1'])
      assert.deepEqual(seen.splice(0), [[url, `Basic ${btoa('u:p')}`]])
      process.env.http_proxy = through
      setAround('')
      assert.deepEqual(await data(url), ['hello over 1.1'])
      assert.equal(seen.splice(0).length, 1)
      assert.deepEqual(await data(url, { proxy: false }), ['hello over 1.1'])
      setAround('127.0.0.1')
      assert.deepEqual(await data(url), ['hello over 1.1'])
      assert.deepEqual(seen, [])
    })
  })
})

test('a tunnel for https: by option, by the environment, and its refusal', async t => {
  await serving(https.createServer(pem.server, greet), async origin => {
    const url = origin.replace('http:', 'https:')
    const { proxy, asked } = tunnel()
    await serving(proxy, async through => {
      assert.deepEqual(await data(url, { ca: pem.ca, proxy: through }), ['hello over 1.1'])
      assert.deepEqual(asked.splice(0), [new URL(url).host])
      environment(t)
      process.env.HTTPS_PROXY = through
      assert.deepEqual(await data(url, { ca: pem.ca }), ['hello over 1.1'])
      assert.deepEqual(asked.splice(0), [new URL(url).host])
      // It is for https only.
      await serving(greet, async plain => assert.deepEqual(await data(plain), ['hello over 1.1']))
      assert.deepEqual(asked, [])
    })
    await scripted([whole(407)], async server => {
      const refused = data(url, { ca: pem.ca, proxy: `http://127.0.0.1:${server.port}` })
      await assert.rejects(refused, { kind: 'proxy', status: 407, isRetryable: false })
      // With all defaults, too: what a login is missing from is not asked again.
      const source = new EventSource(url, { proxy: `http://127.0.0.1:${server.port}` })
      await assert.rejects(collect(source), { kind: 'proxy', status: 407 })
      assert.equal(server.exchanges.length, 2)
    })
  })
  const headers = { 'Proxy-Authorization': 'Basic dTpw' }
  assert.throws(() => new EventSource('http://a.test/', { headers }), /user:password@host:port/)
})

test('SOCKS5: numbers, names that the proxy looks up, credentials', async () => {
  const asked = []
  const server = net.createServer(async socket => {
    socket.on('error', () => {})
    const read = async () => (await once(socket, 'data'))[0]
    // RFC 1928: the methods that may be used; 2 is a name and a password (RFC 1929).
    const methods = await read()
    const method = methods.includes(2, 2) ? 2 : 0
    socket.write(Buffer.from([5, method]))
    if (method === 2) {
      asked.push((await read()).subarray(1).toString('latin1'))
      socket.write(Buffer.from([1, 0]))
    }
    const wanted = await read()
    asked.push(wanted[3] === 1 ? [...wanted.subarray(4, 8)].join('.') : wanted.subarray(5, -2).toString())
    const target = net.connect(wanted.readUInt16BE(wanted.length - 2), '127.0.0.1', () => {
      socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
      target.pipe(socket).pipe(target)
    })
    target.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const where = `127.0.0.1:${server.address().port}`
  await serving(greet, async url => {
    assert.deepEqual(await data(url, { proxy: `socks5://${where}` }), ['hello over 1.1'])
    assert.deepEqual(await data(url.replace('127.0.0.1', 'localhost'), { proxy: `socks5h://${where}` }), ['hello over 1.1'])
    assert.deepEqual(await data(url, { proxy: `socks5://me:secret@${where}` }), ['hello over 1.1'])
  })
  assert.deepEqual(asked, ['127.0.0.1', 'localhost', '\x02me\x06secret', '127.0.0.1'])
  await new Promise(resolve => { server.close(resolve) })
})
