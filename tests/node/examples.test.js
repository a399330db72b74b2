// The examples run, as their first lines say.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { eventually, open, within } from './helpers.js'

async function run(name, use) {
  const path = fileURLToPath(new URL(`../../examples/node/${name}`, import.meta.url))
  const child = spawn(process.execPath, [path], { env: { ...process.env, PORT: '0' } })
  let errors = ''
  child.stderr.on('data', chunk => (errors += chunk))
  try {
    const printed = new Promise((resolve, reject) => {
      child.stdout.once('data', chunk => resolve(String(chunk).trim()))
      child.once('exit', () => reject(new Error(errors)))
    })
    await use(new URL(await within(10_000, printed, name)), child)
    assert.equal(errors, '')
  } finally {
    child.kill('SIGKILL')
  }
}

for (const name of ['express.js', 'fastify_app.js']) test(name, async () => {
  await run(name, async url => {
    const stream = await open(url)
    await stream.until(() => stream.lastEventId !== '')
    const headers = { 'content-type': 'application/json' }
    const posted = await fetch(new URL('/news', url), { method: 'POST', headers, body: '{"title":"hello"}' })
    assert.equal(posted.status, 202)
    const [{ event, data }] = await stream.take(1)
    assert.deepEqual([event, data], ['posted', '{"title":"hello"}'])
    const chat = await open(new URL('/chat', url), { method: 'POST' })
    await chat.end()
    assert.equal(chat.events.length, 6)
  })
})

test('http.js', async () => {
  await run('http.js', async (url, child) => {
    const stream = await open(url)
    const [snapshot, tick] = await stream.take(2)
    assert.equal(snapshot.event, 'snapshot')
    assert.equal(tick.event, 'tick')
    const exit = new Promise(resolve => {
      child.once('exit', (_code, signal) => resolve(signal))
    })
    child.kill('SIGINT')
    assert.equal(await within(5000, exit, 'the exit'), 'SIGINT')
  })
})

test('hono.js', async () => {
  await run('hono.js', async url => {
    const stream = await open(url)
    await stream.until(() => stream.lastEventId !== '')
    assert.equal((await fetch(new URL('/news', url), { method: 'POST', body: 'hello' })).status, 202)
    assert.equal((await stream.take(1))[0].data, 'hello')
  })
})

test('eventsource.js', async () => {
  await run('http.js', async url => {
    const path = fileURLToPath(new URL('../../examples/node/eventsource.js', import.meta.url))
    const child = spawn(process.execPath, [path, url.href])
    let text = ''
    child.stdout.on('data', chunk => (text += chunk))
    try {
      await eventually(() => /^-- open: http.*\nsnapshot .*\ntick \S+: \{"time":/m.test(text), 'a tick')
    } finally {
      child.kill('SIGKILL')
    }
  })
})
