// The behaviours of sse-contract-tests, played with the Node client: see tests/contract.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const path = name => fileURLToPath(new URL(`../contract/${name}`, import.meta.url))

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

for (const [name, options] of [['listeners', []], ['a loop', ['--loop']]]) {
  test(`with ${name}`, async () => {
    const port = await freePort()
    const service = spawn(process.execPath, [path('node/service.js'), '--port', String(port), ...options], { stdio: 'inherit' })
    const driver = spawn('python3', [path('driver.py'), '--url', `http://127.0.0.1:${port}`])
    try {
      let text = ''
      for (const output of [driver.stdout, driver.stderr]) output.on('data', chunk => (text += chunk))
      const [code] = await once(driver, 'close')
      assert.equal(code, 0, text)
      const [, passed, failed] = /^(\d+) passed, (\d+) failed$/m.exec(text)
      assert.ok(Number(passed) > 100 && failed === '0', text)
      assert.doesNotMatch(text, /not claimed/)
    } finally {
      driver.kill('SIGKILL')
      const ended = once(service, 'exit')
      await fetch(`http://127.0.0.1:${port}/`, { method: 'DELETE' }).catch(() => service.kill('SIGKILL'))
      assert.deepEqual(await ended, [0, null], 'the service ends by itself')
    }
  })
}
