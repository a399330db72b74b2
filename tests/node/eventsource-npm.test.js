// What users of the package `eventsource` have: their programs run with ours when they change the import.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import { program, serving, within } from './helpers.js'

const run = promisify(execFile)
const cwd = fileURLToPath(new URL('../../', import.meta.url))
// All have an id where one is looked at: that package shows none for events that have none of their own.
const BODY = 'retry: 100\nid: 1\ndata: one\n\n: beat\nevent: update\nid: 2\ndata: {"n":\ndata: 7}\n\n'
  + 'event: once\ndata: x\n\nevent: once\ndata: y\n\nevent: unheard\ndata: z\n\nid: 3\ndata: two\n\n'

// Three streams of a program: from the start, resumed, and refused for good; then all begins anew.
function script() {
  let asked = 0
  return (req, res) => {
    if (req.url === '/gone') {
      res.writeHead(410).end()
      return
    }
    const answers = [BODY, `id: 4\ndata: after ${req.headers['last-event-id']}\n\n`, undefined, BODY]
    const body = answers[asked]
    asked += 1
    res.writeHead(body === undefined ? 204 : 200, { 'content-type': 'text/event-stream' }).end(body)
  }
}

test('the same program, with both', async () => {
  const source = readFileSync(program('npm_eventsource.js'), 'utf8')
  const outputs = []
  for (const name of ['eventsource', 'ssehub']) {
    const text = source.replace("from 'eventsource'", `from '${name}'`)
    await serving(createServer(script()), async url => {
      const options = ['--input-type=module', '--eval', text, `${url}/events`, `${url}/gone`]
      const { stdout } = await within(20_000, run(process.execPath, options, { cwd }), `the program with ${name}`)
      outputs.push(stdout.trim().split('\n'))
    })
  }
  const [theirs, ours] = outputs
  assert.deepEqual(ours, theirs)
  assert.deepEqual(ours, [
    'state 0 0 1 2',
    'url true true',
    'open 1',
    'message one 1 true',
    'update 7 2',
    'an object {"n":',
    '7}',
    'once x',
    'message two 3 true',
    'error 0 ',
    'open 1',
    'message after 3 4 true',
    'error 0 ',
    'error 2 204',
    'closed 2',
    'refused 410 2',
    'again one',
    'again two',
  ])
})
