// What concerns the whole process: other threads, other copies of the package, its end.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'

import * as ssehub from 'ssehub'

import { program, within } from './helpers.js'

const { Hub } = ssehub
const require = createRequire(import.meta.url)
const run = promisify(execFile)
const root = new URL('../../', import.meta.url)

test('one version everywhere', () => {
  const { version } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'))
  const cargo = /^version = "(.+)"/m.exec(readFileSync(new URL('Cargo.toml', root), 'utf8'))[1]
  const native = require('../../bindings-node/native.cjs').version()
  assert.deepEqual([cargo, native], [version, version])
})

test('require() loads the same modules', () => {
  for (const name of ['ssehub', 'ssehub/express', 'ssehub/fastify', 'ssehub/web', 'ssehub/testing']) {
    assert.equal(typeof require(name), 'object', name)
  }
  assert.equal(require('ssehub').Hub, Hub)
})

test('a panic is an exception', () => {
  const { panicForTest } = require('../../bindings-node/native.cjs')
  assert.throws(() => panicForTest(), /asked for/)
  assert.throws(() => panicForTest(), Error)
})

test('a second copy of the package shares the hubs', async () => {
  const hub = Hub.get('copies')
  const copy = await import('../../bindings-node/index.js?copy')
  const hubCopy = await import('../../bindings-node/hub.js?copy')
  assert.equal(copy.Hub.get('copies'), hub)
  assert.notEqual(hubCopy.Hub, Hub)
  assert.equal(hubCopy.Hub.get('copies'), hub)
  hub.close()
})

test('worker threads share a hub by its name', async () => {
  const hub = Hub.get('threads')
  const worker = new Worker(program('worker.js'))
  const iterator = hub.subscribe('up')[Symbol.asyncIterator]()
  const first = await within(10_000, iterator.next(), 'an event of the worker')
  assert.equal(first.value.data, '{"from":"worker"}')
  // The worker has nothing to do but to wait for this.
  const told = once(worker, 'message')
  hub.publish('down', 'hello')
  assert.deepEqual(await within(10_000, told, 'the worker'), ['hello'])
  await within(10_000, once(worker, 'exit'), 'the end of the worker')
  assert.equal(hub.subscribers('down'), 0)
  await iterator.return()
  hub.close()
})

test('a worker that is terminated leaves nothing behind', async () => {
  const hub = Hub.get('threads')
  const worker = new Worker(program('worker.js'))
  const iterator = hub.subscribe('up')[Symbol.asyncIterator]()
  await within(10_000, iterator.next(), 'an event of the worker')
  await worker.terminate()
  hub.publish('down', 'hello')
  assert.equal(hub.subscribers('down'), 0)
  await iterator.return()
  hub.close()
})

test('nothing keeps a finished process alive', async () => {
  const { stdout } = await run(process.execPath, [program('finished.js')], { timeout: 20_000 })
  assert.equal(stdout, 'finished\n')
})
