// Streams end when their server does. A server that closes waits for its open connections, and a stream never ends by
// itself; nothing of Node's is patched for it.
//
// - `server.close()` is noticed by a look at `server.listening`, a few times a second while there are streams.
// - SIGTERM and SIGINT are noticed by a listener. Where nobody else listens for the signal, its default is carried out
//   once the streams have ended; otherwise that is for the others to do.
//
// Other servers of the process, and of the same hubs, go on.
import { isMainThread } from 'node:worker_threads'

const LOOK = 150
/** What has not ended by then is cut. */
const TIMEOUT = 10_000
/** An iterable may go on for so long: most of them come to an end of their own. */
const GRACE = 5000
/** The most over which ends are spread, and how much of that each stream adds. Somebody may be waiting for the end. */
const SPREAD = 1000
const SPREAD_PER_STREAM = 5

// Streams by server; those without one (fetch-shaped apps) stand under `undefined`.
const servers = new Map()
const seenListening = new WeakSet()
const ending = new WeakSet()
let timer
let stopping = false

/** Whether this server, or the process, is about to end, so that no stream is to begin. */
export const isClosing = server =>
  stopping || (server !== undefined && seenListening.has(server) && !server.listening)

/**
 * Notes a stream: an object with `drain()`, `cut(reason)` and, where there is one, `hub`; or with `detached`, which stands
 * for streams that only the engine can end. It is to `forget` itself when it is over.
 */
export function watch(stream, server) {
  if (server?.listening) seenListening.add(server)
  let streams = servers.get(server)
  if (streams === undefined) servers.set(server, (streams = new Set()))
  streams.add(stream)
  timer ??= setInterval(look, LOOK).unref()
  listen()
}

export function forget(stream, server) {
  const streams = servers.get(server)
  if (!streams?.delete(stream) || streams.size > 0) return
  servers.delete(server)
  if (servers.size > 0) return
  clearInterval(timer)
  timer = undefined
}

function look() {
  for (const [server, streams] of servers) {
    if (server === undefined || server.listening || !seenListening.has(server)) continue
    end(streams)
  }
}

/** Ends these streams: not all in one moment, lest all clients come back in one. */
function end(streams) {
  const spread = Math.min(SPREAD, streams.size * SPREAD_PER_STREAM)
  for (const stream of streams) {
    // Detached ones may have been joined by others since they were ended.
    if (stream.detached || ending.has(stream)) continue
    ending.add(stream)
    // It may go to the engine until then.
    const drain = () => (stream.detached ? endDetached(streams) : stream.drain())
    setTimeout(drain, Math.random() * spread).unref()
    setTimeout(() => stream.cut('drain'), stream.hub === undefined ? GRACE : TIMEOUT).unref()
  }
  // Later: what the application says when it is told of its end is still to go out.
  setImmediate(() => endDetached(streams))
}

/** Those of them that the engine has. For any that are about to end anyway this changes nothing. */
function endDetached(streams) {
  const hubs = new Map()
  for (const stream of streams) {
    if (!stream.detached) continue
    if (!hubs.has(stream.hub)) hubs.set(stream.hub, new Set())
    hubs.get(stream.hub).add(stream)
  }
  for (const [hub, detached] of hubs) hub.loop.drain(detached, TIMEOUT, SPREAD)
}

let listening = false

function listen() {
  if (listening || !isMainThread) return
  listening = true
  process.prependListener('SIGTERM', onSignal)
  process.prependListener('SIGINT', onSignal)
}

function onSignal(signal) {
  // Gone before the others are called: those that look whether they are alone must not see this one.
  process.off('SIGTERM', onSignal)
  process.off('SIGINT', onSignal)
  listening = false
  const alone = process.listenerCount(signal) === 0
  if (!alone) {
    for (const streams of servers.values()) end(streams)
    return
  }
  stopping = true
  // Nothing but the end can follow, so hubs are drained as a whole and say that they are not ready.
  const all = [...servers.values()].flatMap(streams => [...streams])
  for (const hub of new Set(all.map(stream => stream.hub))) hub?.native.drain(TIMEOUT, SPREAD)
  end(new Set(all.filter(stream => stream.hub === undefined)))
  const deadline = performance.now() + TIMEOUT + 500
  const wait = setInterval(() => {
    if (servers.size > 0 && performance.now() < deadline) return
    clearInterval(wait)
    // With this listener gone, the signal does what it does by default.
    process.kill(process.pid, signal)
  }, 20)
}
