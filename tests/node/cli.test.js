// The command line, as people run it: processes, against servers of this file's own and a real one behind nginx.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'

import { HEAD, scripted, stream, whole } from './eventsource-helpers.js'
import { eventually, serving, within } from './helpers.js'

const root = new URL('../../', import.meta.url)
const program = fileURLToPath(new URL('bindings-node/cli.js', root))
const env = { ...process.env, NO_PROXY: '*' }

/** Status, output and errors of a command that ends by itself. */
const run = (...args) =>
  new Promise(resolve => {
    execFile(process.execPath, [program, ...args], { env, timeout: 30_000 }, (error, out, err) => {
      resolve({ status: error?.code ?? 0, out, err })
    })
  })

/** The findings of a doctor, by what was looked at. */
async function doctor(url, ...options) {
  const { status, out, err } = await run('doctor', url, '--json', '--seconds', '2', ...options)
  const report = JSON.parse(out)
  assert.deepEqual([report.healthy, err], [status === 0, ''])
  return { exit: status, ...Object.fromEntries(report.findings.map(finding => [finding.check, finding])) }
}

/** A stream that stays open. */
const still = body => ({ write }) => write(HEAD + body)

const GAP = 'event: ssehub:gap\nid: 9\ndata: {"last_event_id": "1", "reason": "expired"}\n\n'

test('the package names its command', () => {
  const { bin, files } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'))
  assert.equal(fileURLToPath(new URL(bin.ssehub, root)), program)
  assert.ok(files.includes('bindings-node/*.js'))
  assert.match(readFileSync(program, 'utf8'), /^#!\/usr\/bin\/env node\n/)
})

test('tail: events, a reconnect and a gap', async () => {
  const answers = [stream('retry: 100\nid: 1\ndata: a\ndata: b\n\n'), still(`${GAP}event: e\ndata: c\n\n`)]
  await scripted(answers, async ({ url, exchanges }) => {
    const { status, out, err } = await run('tail', url, '-n', '2')
    assert.deepEqual([status, err], [0, ''])
    assert.match(out, /Z message \[1\]\n {4}a\n {4}b\n/)
    assert.match(out, /-- attempt 1: the stream has ended/)
    assert.match(out, /-- gap: events after 1 are lost \(expired\)/)
    assert.match(out, /Z e \[9\] c\n$/)
    assert.equal(exchanges[1].headers['last-event-id'], '1')
  })
})

test('tail: lines of JSON, and what is sent', async () => {
  await scripted([stream('event: e\nid: 7\ndata: "x\x1b"\n\ndata: [DONE]\n\n')], async ({ url, exchanges }) => {
    const { status, out } = await run('tail', url, '--json', '--data', '[1]', '-H', 'X-One: 1', '--stop-on', '[DONE]')
    assert.equal(status, 0)
    assert.deepEqual(out.trim().split('\n').map(line => JSON.parse(line)), [{ event: 'e', id: '7', data: '"x\x1b"' }])
    const [{ method, headers, body }] = exchanges
    assert.deepEqual([method, headers['content-type'], headers['x-one'], body], ['POST', 'application/json', '1', '[1]'])
  })
})

test('failures and bad arguments', async () => {
  await scripted([whole(404, 'no such thing')], async ({ url }) => {
    const { status, out, err } = await run('tail', url, '-q')
    assert.deepEqual([status, out], [1, ''])
    assert.match(err, /^ssehub: .*404.*: no such thing\n$/)
  })
  for (const args of [[], ['tail'], ['tail', 'x', '--bogus'], ['tail', 'x', '-H', 'none'], ['doctor', 'ftp://x']]) {
    const { status, out, err } = await run(...args)
    assert.deepEqual([status, out], [2, ''], args.join(' '))
    assert.notEqual(err, '')
  }
  assert.match((await run('--help')).out, /tail.*\n.*doctor/)
})

test('Ctrl-C ends it at once, and a closed pipe without a word', async () => {
  await scripted([still('data: 1\n\n')], async ({ url }) => {
    for (const [end, expected] of [
      [child => child.kill('SIGINT'), [null, 'SIGINT']],
      [child => child.stdout.destroy(), [0, null]],
    ]) {
      const child = spawn(process.execPath, [program, 'tail', url, '-q'], { env })
      let errors = ''
      child.stderr.on('data', chunk => (errors += chunk))
      assert.match(String(await within(5000, once(child.stdout, 'data'), 'an event')), /message 1\n$/)
      end(child)
      assert.deepEqual(await within(5000, once(child, 'close'), 'its end'), expected)
      assert.equal(errors, '')
    }
  })
})

/** An nginx in front of a port, for as long as `use` takes. */
async function nginx(port, options, use) {
  const path = `${process.env.PATH}:/usr/sbin`.split(':').map(folder => join(folder, 'nginx')).find(existsSync)
  assert.ok(path, 'nginx is not installed; run: scripts/system-deps.sh')
  const folder = mkdtempSync(join(tmpdir(), 'ssehub-'))
  const listen = await serving(createServer(), url => Number(new URL(url).port))
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${folder}/${name};`)
  const file = join(folder, 'nginx.conf')
  writeFileSync(file, `
    daemon off; ${process.getuid() === 0 ? 'user root;' : ''} pid ${folder}/pid; error_log stderr warn; events {}
    http { access_log off; ${temporary.join(' ')}
      server { listen 127.0.0.1:${listen}; location / { proxy_pass http://127.0.0.1:${port}; ${options} } } }`)
  const child = spawn(path, ['-c', file, '-p', folder, '-e', 'stderr'], { stdio: 'ignore' })
  try {
    let up = false
    await eventually(() => {
      fetch(`http://127.0.0.1:${listen}/`).then(() => (up = true), () => {})
      return up
    }, 'nginx')
    return await use(`http://127.0.0.1:${listen}/events`)
  } finally {
    child.kill()
    await once(child, 'close')
    rmSync(folder, { recursive: true })
  }
}

test('doctor: a server of ours, and an nginx before it that buffers or does not', async () => {
  const hub = new Hub({ heartbeat: 0.5 })
  const handle = sse(() => hub.subscribe('t'))
  const app = (req, res) => (req.url === '/events' ? handle(req, res, error => res.destroy(error)) : res.end('ok'))
  await serving(app, async origin => {
    const direct = await doctor(`${origin}/events`)
    assert.equal(direct.exit, 0)
    for (const check of ['buffering', 'heartbeats', 'cuts', 'resume']) assert.equal(direct[check].verdict, 'ok', check)

    const { port } = new URL(origin)
    await nginx(port, 'proxy_ignore_headers X-Accel-Buffering;', async url => {
      const { exit, buffering } = await doctor(url)
      assert.deepEqual([exit, buffering.verdict], [1, 'problem'])
      assert.match(buffering.advice[0], /`proxy_buffering off;`.*`proxy_ignore_headers X-Accel-Buffering;`/)
    })
    await nginx(port, '', async url => {
      const { exit, buffering, resume } = await doctor(url)
      assert.deepEqual([exit, buffering.verdict, resume.verdict], [0, 'ok', 'ok'])
    })
  })
  hub.close()
})

test('doctor: a report for people, and no connection', async () => {
  await scripted([still('retry: 100\nid: 1\n\n')], async ({ url }) => {
    const { status, out, err } = await run('doctor', url, '--seconds', '1')
    assert.deepEqual([status, err], [0, ''])
    assert.match(out, / {2}ok {7}buffering {10}none/)
    assert.match(out, /\nno problem was found; \d notes\n$/)
  })
  const port = await serving(createServer(), url => new URL(url).port)
  const { exit, connection } = await doctor(`http://127.0.0.1:${port}/`)
  assert.deepEqual([exit, connection.verdict], [2, 'problem'])
})
