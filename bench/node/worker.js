// The protocol of all workers: a ready line, then one line of JSON per request.
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setImmediate as breathe } from 'node:timers/promises'

const say = value => process.stdout.write(`${JSON.stringify(value)}\n`)

/** Says which version is measured, then answers requests until stdin ends. */
export async function serve(version, answer) {
  say({ version })
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      say(await answer(JSON.parse(line)))
    } catch (error) {
      say({ error: String(error) })
    }
  }
}

/** The version of an installed package; read, because most packages do not export it. */
export function installedVersion(name) {
  const manifest = new URL(`node_modules/${name}/package.json`, import.meta.url)
  return JSON.parse(readFileSync(manifest, 'utf8')).version
}

/** Runs until `minSeconds` have gone by and returns the seconds of one pass. */
export async function secondsPerPass(minSeconds, pass) {
  let busy = 0
  let passes = 0
  while (busy < minSeconds) {
    const start = performance.now()
    await pass()
    busy += (performance.now() - start) / 1e3
    passes += 1
    await breathe()
  }
  return busy / passes
}
