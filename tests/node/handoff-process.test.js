// Sockets that go to the engine: what concerns whole processes and threads.
import assert from 'node:assert/strict'
import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, rmSync, utimesSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'

import { Hub } from 'ssehub'

import { eventually, inbox, open, program, sleep, within } from './helpers.js'

test('a detached stream keeps its process alive, and nothing does after it', async () => {
  const child = fork(program('server.js'), ['unref', 'detach'])
  try {
    const told = inbox(child)
    const { port } = await told('port')
    const opened = told('open')
    const stream = await open(`http://127.0.0.1:${port}/events`)
    assert.deepEqual(await opened, { open: 'detached' })
    await sleep(300)
    assert.equal(child.exitCode, null)
    const exit = once(child, 'exit')
    const closed = told('close')
    stream.close()
    assert.deepEqual(await closed, { close: 'client' })
    assert.deepEqual(await within(5000, exit, 'the exit'), [0, null])
  } finally {
    child.kill('SIGKILL')
  }
})

test('cluster', async () => {
  const child = fork(program('cluster.js'))
  try {
    const told = inbox(child)
    const { port } = await told('port')
    await told('port')
    const streams = await Promise.all(Array.from({ length: 6 }, () => open(`http://127.0.0.1:${port}/`)))
    const pids = new Set()
    for (const stream of streams) pids.add((await stream.take(1))[0].data)
    assert.equal(pids.size, 2)
    const exit = once(child, 'exit')
    child.send('end')
    for (const stream of streams) {
      await stream.end()
      assert.ok(stream.complete)
      assert.match(stream.text, /retry: \d+\n\n$/)
    }
    assert.deepEqual(await within(5000, exit, 'the exit'), [0, null])
  } finally {
    child.kill('SIGKILL')
  }
})

test('worker threads', async () => {
  const hub = Hub.get('server threads')
  const worker = new Worker(program('thread.js'))
  const told = inbox(worker)
  const { port } = await told('port')
  const opened = told('open')
  const [first, second] = await Promise.all([open(`http://127.0.0.1:${port}/`), open(`http://127.0.0.1:${port}/`)])
  assert.deepEqual(await opened, { open: 'detached' })
  await eventually(() => hub.stats().detached === 2)
  hub.publish('t', 'from the main thread')
  for (const stream of [first, second]) assert.equal((await stream.take(1))[0].data, 'from the main thread')
  const closed = told('close')
  first.close()
  assert.deepEqual(await closed, { close: 'detached', reason: 'client' })
  // The other one is ended with its server, and then nothing keeps the thread.
  const exit = once(worker, 'exit')
  worker.postMessage('close')
  await second.end()
  assert.ok(second.complete)
  assert.deepEqual(await within(5000, exit, 'the end of the thread'), [0])
  await eventually(() => hub.stats().connections === 0)
  assert.equal(hub.ready, true)
  hub.close()
})

test('a worker thread that is terminated takes nothing along', async () => {
  const hub = Hub.get('server threads')
  const worker = new Worker(program('thread.js'))
  const told = inbox(worker)
  const { port } = await told('port')
  const stream = await open(`http://127.0.0.1:${port}/`)
  await eventually(() => hub.stats().detached === 1)
  await worker.terminate()
  // The engine is the process's, and the stream its own.
  hub.publish('t', 'still here')
  assert.equal((await stream.take(1))[0].data, 'still here')
  stream.close()
  await eventually(() => hub.stats().connections === 0)
  hub.close()
})

test('a worker thread that is terminated ends what it holds', async () => {
  const hub = Hub.get('server threads')
  const worker = new Worker(program('thread.js'), { workerData: { handoff: 'hold' } })
  const { port } = await inbox(worker)('port')
  const stream = await open(`http://127.0.0.1:${port}/`)
  await eventually(() => hub.stats().held === 1)
  await worker.terminate()
  await stream.end()
  assert.equal(stream.complete, false)
  await eventually(() => hub.stats().connections === 0)
  assert.equal(hub.stats().held, 0)
  hub.close()
})

test('without descriptors a stream stays in-loop', async () => {
  const child = spawn('/bin/sh', ['-c', `ulimit -n 64; exec "${process.execPath}" "${program('exhausted.js')}"`])
  try {
    const [port] = await within(10_000, once(child.stdout, 'data'), 'the port')
    await sleep(100)
    const stream = await open(`http://127.0.0.1:${Number(port)}/`)
    const [{ data }] = await stream.take(1)
    assert.deepEqual(JSON.parse(data), { mode: 'in-loop', refused: { descriptors: 1 } })
  } finally {
    child.kill('SIGKILL')
  }
})

test('node --watch starts anew at once, also with streams open', async () => {
  // Where it finds the package.
  const folder = mkdtempSync(join(dirname(program('watched.js')), 'watched-'))
  const file = join(folder, 'server.mjs')
  copyFileSync(program('watched.js'), file)
  const child = spawn(process.execPath, ['--watch', file])
  try {
    let text = ''
    child.stdout.on('data', chunk => (text += chunk))
    const ports = () => [...text.matchAll(/port (\d+)/g)].map(([, port]) => Number(port))
    await eventually(() => ports().length === 1, 'the first start', 10_000)
    const stream = await open(`http://127.0.0.1:${ports()[0]}/`)
    await stream.until(() => stream.lastEventId !== '')
    const now = new Date(Date.now() + 5000)
    utimesSync(file, now, now)
    await stream.end()
    assert.ok(stream.complete)
    assert.match(stream.text, /retry: \d+\n\n$/)
    await eventually(() => ports().length === 2, 'the second start')
    await assert.rejects(open(`http://127.0.0.1:${ports()[0]}/`), { code: 'ECONNREFUSED' })
  } finally {
    child.kill('SIGTERM')
    await once(child, 'exit')
    rmSync(folder, { recursive: true })
  }
})
