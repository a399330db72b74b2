// The demo page: four streams of one server, no library, no build step.
//
//   /events/... -> stream.js (an EventSource with a visible state) -> ticker.js, feed.js, counters.js
//   POST /chat  -> parser.js (what EventSource cannot open)        -> chat.js
//   /config     -> app.js: whose page it is                        -> snippets.js (the code under each section)
//
// Here is also when the streams are open. common.js has small functions for all.
//
// For tests: elements carry data-testid, `window.ssehubDemo` holds what the feed has counted, and
// `/?long-cut=3` makes the long cut 3 seconds instead of 60.

import './chat.js'
import { statsStream } from './counters.js'
import { bySlot, setText } from './common.js'
import { counted, leaveWithPage, noteHistory } from './feed.js'
import { createParser } from './parser.js'
import { reserveSnippets, showSnippets } from './snippets.js'
import { streams } from './stream.js'
import { tickerStream } from './ticker.js'

window.ssehubDemo = { feed: counted, createParser }

/** The peer as this visitor can reach it: a loopback name in the settings is of no use to another machine. */
function peerAddress(peer) {
  try {
    const url = new URL(peer, location.href)
    if (!/^https?:$/.test(url.protocol)) return null
    const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/
    if (loopback.test(url.hostname) && !loopback.test(location.hostname)) url.hostname = location.hostname
    return url.href
  } catch {
    return null
  }
}

async function configure() {
  let config = {}
  try {
    const response = await fetch('/config')
    if (response.ok) config = await response.json()
  } catch {
    // The page works without it.
  }
  const language = config.language === 'Node' ? 'Node' : 'Python'
  const historyCount = Number.isInteger(config.history?.count) ? config.history.count : null
  noteHistory(historyCount)
  setText(bySlot('server-name'), String(config.name ?? 'unknown'))
  setText(bySlot('server-language'), String(config.language ?? ''))
  const [peerName, peerLanguage] = language === 'Node' ? ['FastAPI', 'Python'] : ['Express', 'Node']
  setText(bySlot('peer-name'), peerName)
  setText(bySlot('peer-language'), peerLanguage)
  const href = config.peer ? peerAddress(config.peer) : null
  if (href) bySlot('peer-link').href = href
  if (config.version) setText(bySlot('version'), String(config.version))
  if (config.name) document.title = `ssehub demo on ${config.name}`
  showSnippets(language, historyCount)
}

reserveSnippets()
configure()
for (const stream of streams) stream.open()

// A hidden tab gives two of its connections back. When it is seen again the ticker resumes at its last id, and the chart
// has no hole; the counters only need the next report.
let restTimer = 0
document.addEventListener('visibilitychange', () => {
  clearTimeout(restTimer)
  if (document.hidden) {
    restTimer = setTimeout(() => [tickerStream, statsStream].forEach(stream => stream.close('resting')), 5_000)
  } else {
    for (const stream of [tickerStream, statsStream]) if (stream.state === 'resting') stream.open()
  }
})

// Leaving the page is not a lost connection; coming back from the browser's cache is.
addEventListener('pagehide', () => {
  leaveWithPage()
  for (const stream of streams) if (stream.state !== 'cut') stream.close('resting')
})
addEventListener('pageshow', event => {
  if (!event.persisted) return
  for (const stream of streams) if (stream.state === 'resting') stream.open()
})
