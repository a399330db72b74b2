// The server under Express.
import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import express from 'express'
import { Hub, event, pattern } from 'ssehub'
import { sse } from 'ssehub/express'

const plan = JSON.parse(readFileSync(new URL('../plan.json', import.meta.url), 'utf8'))
const { CHAOS_JOURNALS, CHAOS_CLIENTS, CHAOS_PORT } = process.env
const TICK = 10

const hub = new Hub({
  topics: plan.histories,
  retry: plan.retry,
  heartbeat: plan.heartbeat,
  maxLag: plan.max_lag,
  limits: { eventSize: plan.event_size, connectionsPerKey: plan.streams_per_key },
})
const told = { opened: 0, closed: 0 }
hub.on('open', () => { told.opened += 1 })
hub.on('close', () => { told.closed += 1 })

// Publishing: what the plan says, written down, by nobody else.
const count = {}
const last = {}
const [epoch] = hub.lastEventId.split('-')
const journal = join(CHAOS_JOURNALS, `${epoch}.journal`)
const shares = plan.sources.reduce((sum, source) => sum + source.share, 0)
let stopping = false
let running = Promise.resolve()

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

// Serving.
const app = express()

const subscription = ({ query }) => {
  const names = query.topics.split(',').filter(name => name !== '')
  const rooms = query.pattern === undefined ? [] : [pattern(query.pattern)]
  return hub.subscribe(...names, ...rooms, { slow: query.slow })
}
// The state: up to which event it has all. Too large for a client to take it at once.
const snapshot = () => event({ data: `${hub.lastEventId.split('-')[1]};${'x'.repeat(3000)}`, event: 'snapshot' })
const handlers = {}
for (const handoff of ['detach', 'hold', 'off']) {
  const options = { key: ({ query }) => query.key, handoff }
  handlers[handoff] = sse(subscription, options)
  handlers[`${handoff} 1`] = sse(subscription, { ...options, snapshot })
}
app.get('/events', (req, res, next) => {
  const { handoff, snapshot: wanted } = req.query
  return handlers[wanted === undefined ? handoff : `${handoff} 1`](req, res, next)
})
app.post('/stop', async (_req, res) => {
  stopping = true
  await running
  res.send('stopped')
})
// As at the end of the server, which then begins anew.
app.post('/drain', (_req, res) => {
  res.send('drained')
  server.close(() => server.listen(Number(CHAOS_PORT), '127.0.0.1', 4096))
})
app.get('/stats', (_req, res) => {
  const { detached, held, handoffsRefused, ...more } = hub.stats()
  const modes = { detached, held, 'in-loop': more.connections - detached - held }
  // So that memory is what is in use.
  globalThis.gc()
  res.json({ ...more, connections_by_mode: modes, handoffs_refused: handoffsRefused, told, pid: process.pid })
})

const server = app.listen(Number(CHAOS_PORT), '127.0.0.1', 4096)
running = run()
