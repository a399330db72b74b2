// What the servers of Node are about: their hub, and who publishes, as the plan says, written down. Nobody else does.
import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { Hub, event, pattern } from 'ssehub'

const plan = JSON.parse(readFileSync(new URL('../plan.json', import.meta.url), 'utf8'))
const { CHAOS_JOURNALS, CHAOS_CLIENTS, CHAOS_PORT } = process.env
const TICK = 10
/** Where to listen. */
export const address = { port: Number(CHAOS_PORT), host: '127.0.0.1', backlog: 4096 }

export const hub = new Hub({
  topics: plan.histories,
  retry: plan.retry,
  heartbeat: plan.heartbeat,
  maxLag: plan.max_lag,
  limits: { eventSize: plan.event_size, connectionsPerKey: plan.streams_per_key },
})
const told = { opened: 0, closed: 0 }
hub.on('open', () => { told.opened += 1 })
hub.on('close', () => { told.closed += 1 })

const count = {}
const last = {}
const [epoch] = hub.lastEventId.split('-')
const journal = join(CHAOS_JOURNALS, `${epoch}.journal`)
const shares = plan.sources.reduce((sum, source) => sum + source.share, 0)
let stopping = false

const below = number => Math.floor(Math.random() * number)
// The clock of the clients, too.
const now = () => Number(process.hrtime.bigint()) / 1e9

function choose() {
  let at = Math.random() * shares
  return plan.sources.find(source => (at -= source.share) < 0) ?? plan.sources[0]
}

async function publish(lines) {
  const source = choose()
  const room = below(source.rooms ?? 1)
  const topics = source.topics.map(topic => topic.replace('*', room))
  const marks = topics.map(topic => {
    count[topic] = (count[topic] ?? 0) + 1
    return `${topic}=${count[topic]}/${last[topic] ?? 0}`
  })
  const [least, most] = source.size ?? [10, 200]
  const data = `${marks.join(' ')};${'x'.repeat(least + below(most - least))}`
  const key = topics[0] === 'keyed' ? String(count.keyed % plan.keys) : undefined
  // Before it is published: whoever has seen it, saw it after that.
  const at = now()
  const id = await hub.publishAsync(topics, data, { key })
  const [, seq] = id.split('-')
  for (const topic of topics) {
    last[topic] = seq
    lines.push(`${topic} ${seq} ${at.toFixed(6)} ${data.length}\n`)
  }
}

// What logouts and administrators do.
function endSomebody() {
  const chance = Math.random()
  const farewell = below(2) === 0 ? undefined : event({ data: 'logged out', event: 'bye' })
  if (chance < 0.01) hub.disconnect({ key: `client-${below(Number(CHAOS_CLIENTS))}`, event: farewell })
  else if (chance < 0.0105) hub.disconnect({ topic: ['short', 'mid', 'quiet'][below(3)], event: farewell })
}

async function run() {
  let owed = 0
  let before = now()
  while (!stopping) {
    await new Promise(resolve => { setTimeout(resolve, TICK) })
    const begin = now()
    owed += (begin - before) * plan.rate
    before = begin
    // All at once: more than some histories have.
    if (Math.random() < 0.002) owed += plan.rate * Math.random()
    const lines = []
    for (; owed >= 1; owed -= 1) await publish(lines)
    if (lines.length > 0) appendFileSync(journal, lines.join(''))
    endSomebody()
  }
}

const running = run()

/** Publishes no more. All that has been published is written down then. */
export async function stop() {
  stopping = true
  await running
}

/** What a client asks for. */
export function subscription({ query }) {
  const names = query.topics.split(',').filter(name => name !== '')
  const rooms = query.pattern === undefined ? [] : [pattern(query.pattern)]
  return hub.subscribe(...names, ...rooms, { slow: query.slow })
}

/** The state: up to which event it has all. Too large for a client to take it at once. */
export const snapshot = () => event({ data: `${hub.lastEventId.split('-')[1]};${'x'.repeat(3000)}`, event: 'snapshot' })

/** What the hub holds, and the process. */
export function stats() {
  const { detached, held, handoffsRefused, ...more } = hub.stats()
  const modes = { detached, held, 'in-loop': more.connections - detached - held }
  // So that memory is what is in use.
  globalThis.gc()
  return { ...more, connections_by_mode: modes, handoffs_refused: handoffsRefused, told, pid: process.pid }
}
