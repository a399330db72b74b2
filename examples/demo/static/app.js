// The demo page: four streams of one server, no library, no build step.
//
//   1  helpers            small DOM and text functions
//   2  SSE parser         for streams that EventSource cannot open (the chat's POST)
//   3  Stream             an EventSource with a visible state
//   4  ticker, feed, chat, counters
//   5  the page           /config, the connection pill, the snippets
//
// For tests: elements carry data-testid, `window.ssehubDemo` holds what the feed has counted, and
// `/?long-cut=3` makes the long cut 3 seconds instead of 60.

// ---- 1  helpers -----------------------------------------------------------------------------------------------------

const byTestId = id => document.querySelector(`[data-testid="${id}"]`)
const bySlot = name => document.querySelector(`[data-slot="${name}"]`)

function element(tag, className, text) {
  const node = document.createElement(tag)
  if (className) node.className = className
  if (text !== undefined) node.textContent = text
  return node
}

/** Sets text only when it differs, so that live regions do not repeat themselves. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text
}

const grouped = new Intl.NumberFormat('en')
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 2 })
const plural = (n, one, many = `${one}s`) => `${grouped.format(n)} ${n === 1 ? one : many}`
const timeOfDay = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false })
const seconds = ms => `${Math.max(0, Math.floor(ms / 1000))} s`

/** The data of an event as an object; anything else (a stream that is not ours) is null, not an exception. */
function parseData(text) {
  try {
    const value = JSON.parse(text)
    return value !== null && typeof value === 'object' ? value : null
  } catch {
    return null
  }
}

/** A hub's id is `{epoch}-{seq}`: which life of the log, and the place in it. Other ids have no sequence. */
function splitId(id) {
  const match = /^(.+)-(\d+)$/.exec(id)
  return match ? { epoch: match[1], seq: Number(match[2]) } : { epoch: null, seq: null }
}

/** Its two ends; the sequence is what one wants to see. */
function shortId(id) {
  const { epoch, seq } = splitId(id)
  return seq !== null && epoch.length > 9 ? `${epoch.slice(0, 7)}…-${seq}` : id
}

const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)')

// How far this machine's clock is from the server's. The smallest difference seen is the one with the least delay in it;
// it may rise slowly, so that a clock that was set does not spoil it for good.
let clockOffset = null
function noteServerTime(at) {
  if (!Number.isFinite(at)) return
  const difference = Date.now() - at
  clockOffset = clockOffset === null ? difference : Math.min(clockOffset + 1, difference)
}
const toLocalTime = at => at + (clockOffset ?? 0)

// ---- 2  SSE parser --------------------------------------------------------------------------------------------------

/**
 * A parser for the text of an event stream, as the HTML standard says it: lines end with CR, LF or CRLF (a CRLF may be
 * split over two chunks), several `data` lines are joined with LF, a comment begins with a colon, an event without data
 * is not dispatched, and an event that the stream ends in the middle of is dropped.
 * Give it decoded text (TextDecoderStream joins split characters and takes a leading BOM off).
 */
export function createParser(onEvent) {
  let rest = ''           // the line that has begun
  let skipLF = false      // the last chunk ended with CR: an LF now belongs to it
  let data = null
  let type = ''
  let lastEventId = ''

  function line(text) {
    if (text === '') {
      if (data !== null) onEvent({ type: type || 'message', data, lastEventId })
      data = null
      type = ''
      return
    }
    const colon = text.indexOf(':')
    if (colon === 0) return
    const field = colon < 0 ? text : text.slice(0, colon)
    let value = colon < 0 ? '' : text.slice(colon + 1)
    if (value.startsWith(' ')) value = value.slice(1)
    if (field === 'data') data = data === null ? value : `${data}\n${value}`
    else if (field === 'event') type = value
    else if (field === 'id' && !value.includes('\0')) lastEventId = value
    // `retry` is for clients that reconnect by themselves; this one does not.
  }

  return {
    feed(text) {
      if (text === '') return
      if (skipLF && text[0] === '\n') text = text.slice(1)
      skipLF = text === '' ? false : text.endsWith('\r')
      const lines = text.split(/\r\n|\r|\n/)
      lines[0] = rest + lines[0]
      rest = lines.pop()
      for (const each of lines) line(each)
    },
  }
}

// ---- 3  Stream ------------------------------------------------------------------------------------------------------

const streams = []

/**
 * An EventSource and its state: connecting, open, waiting (it was lost, and comes back), cut or resting (closed by us).
 * Reconnecting after a lost connection is the browser's work, with the Last-Event-ID header, and nothing here disturbs it.
 * Only when the browser has given up for good (no such path, not an event stream) a new one is tried after a while.
 */
class Stream {
  state = 'connecting'
  lastEventId = ''
  #source = null
  #timer = 0
  #failures = 0

  constructor(path, stateNode, handlers, { onState = () => {} } = {}) {
    this.path = path
    this.stateNode = stateNode
    this.handlers = handlers
    this.onState = onState
    streams.push(this)
  }

  /** Opens, or opens again where it was: EventSource cannot be given a header, so the id goes into the query. */
  open() {
    this.#dispose()
    const query = this.lastEventId ? `?lastEventId=${encodeURIComponent(this.lastEventId)}` : ''
    const source = new EventSource(this.path + query)
    this.#source = source
    this.#set('connecting')
    source.onopen = () => {
      this.#failures = 0
      this.#set('open')
    }
    source.onerror = () => {
      this.#set('waiting')
      if (source.readyState !== EventSource.CLOSED) return
      const delay = Math.min(30_000, 5_000 * 2 ** this.#failures++)
      this.#timer = setTimeout(() => this.open(), delay)
    }
    for (const [type, handler] of Object.entries(this.handlers)) {
      source.addEventListener(type, event => {
        if (source !== this.#source) return
        if (event.lastEventId) this.lastEventId = event.lastEventId
        handler(parseData(event.data) ?? {}, event)
      })
    }
  }

  close(state) {
    this.#dispose()
    this.#set(state)
  }

  #dispose() {
    clearTimeout(this.#timer)
    this.#source?.close()
    this.#source = null
  }

  #set(state) {
    this.state = state
    if (this.stateNode) this.stateNode.dataset.state = state
    this.onState(state)
    showConnectionState()
  }
}

function showConnectionState() {
  const all = streams.map(stream => stream.state)
  const open = all.filter(state => state === 'open' || state === 'resting').length
  let state, text
  if (all.includes('cut')) [state, text] = ['cut', 'Feed cut by you']
  else if (open === all.length) [state, text] = ['live', `Live, ${open} of ${all.length} streams`]
  else if (!all.includes('waiting')) [state, text] = ['connecting', 'Connecting']
  else if (open > 0) [state, text] = ['partial', `${open} of ${all.length} streams`]
  else [state, text] = ['offline', 'Offline, trying again']
  byTestId('connection-state').dataset.state = state
  setText(bySlot('pill-text'), text)
}

// ---- 4a  ticker -----------------------------------------------------------------------------------------------------

const WINDOW = 60_000          // what the chart shows
const BEHIND = 350             // it is drawn this much behind, so that the line glides from one price to the next

const ticker = {
  points: [],                  // { at, price }, by server time
  received: 0,
  since: 0,
}

function onPrice(data) {
  const { at, price } = data
  if (!Number.isFinite(at) || !Number.isFinite(price)) return
  noteServerTime(at)
  const { points } = ticker
  ticker.received += 1
  ticker.since ||= Date.now()
  if (points.length && at < points.at(-1).at) points.length = 0      // another server, or its clock was set
  points.push({ at, price })
  while (points[0].at < at - WINDOW - 5_000) points.shift()

  setText(byTestId('ticker-price'), price.toFixed(2))
  const total = byTestId('ticker-events')
  total.dataset.count = ticker.received
  setText(total, grouped.format(ticker.received))
  if (typeof data.symbol === 'string') setText(bySlot('ticker-symbol'), data.symbol)

  const first = points.find(point => point.at >= at - WINDOW)
  const change = price - first.price
  const delta = bySlot('ticker-delta')
  delta.dataset.dir = Math.abs(change) < 0.005 ? 'flat' : change > 0 ? 'up' : 'down'
  const sign = { up: '▲ +', down: '▼ −', flat: '± ' }[delta.dataset.dir]
  setText(delta, `${sign}${Math.abs(change).toFixed(2)} in ${seconds(Math.min(WINDOW, at - first.at + 500))}`)
  bySlot('chart-empty').hidden = true
}

function showRate() {
  if (!ticker.since) return
  const now = Date.now()
  const span = Math.min(5_000, Math.max(1_000, now - ticker.since))
  const count = ticker.points.filter(point => toLocalTime(point.at) > now - span).length
  setText(byTestId('ticker-rate'), (count * 1000 / span).toFixed(1))
}

function startChart() {
  const canvas = bySlot('chart')
  const context = canvas.getContext('2d')
  const scheme = matchMedia('(prefers-color-scheme: dark)')
  const colors = {}
  let width = 0, height = 0, font = ''
  let low = null, high = null          // the eased limits of the price axis
  let visible = true, lastDrawn = 0

  function readColors() {
    const style = getComputedStyle(document.documentElement)
    for (const name of ['accent', 'soft', 'line', 'card']) colors[name] = style.getPropertyValue(`--${name}`).trim()
    font = `12px ${style.getPropertyValue('--sans')}`
  }

  function resize() {
    const ratio = Math.min(3, devicePixelRatio || 1)
    const box = canvas.getBoundingClientRect()
    width = box.width
    height = box.height
    canvas.width = Math.round(width * ratio)
    canvas.height = Math.round(height * ratio)
    context.setTransform(ratio, 0, 0, ratio, 0, 0)
    lastDrawn = 0
    draw()
  }

  /** The step 1, 2 or 5 times a power of ten that gives about `count` lines. */
  function niceStep(span, count) {
    const raw = span / count
    const power = 10 ** Math.floor(Math.log10(raw))
    return power * [1, 2, 5, 10].find(factor => factor * power >= raw)
  }

  function draw() {
    if (!width || !height) return
    context.clearRect(0, 0, width, height)
    const { points } = ticker
    if (!points.length) return

    const right = Date.now() - (clockOffset ?? 0) - BEHIND
    const left = right - WINDOW
    const shown = points.filter((point, i) => point.at >= left || points[i + 1]?.at >= left)
    if (!shown.length) return

    // The price axis: room around what is seen, reached gently.
    const prices = shown.map(point => point.price)
    const min = Math.min(...prices), max = Math.max(...prices)
    const pad = Math.max((max - min) * 0.16, 0.05)
    const ease = reducedMotion.matches || low === null ? 1 : 0.12
    low = (low ?? min - pad) + (min - pad - (low ?? min - pad)) * ease
    high = (high ?? max + pad) + (max + pad - (high ?? max + pad)) * ease

    const plot = { left: 0, right: width - 54, top: 8, bottom: height - 24 }
    const x = at => plot.left + (at - left) / WINDOW * (plot.right - plot.left)
    const y = price => plot.bottom - (price - low) / (high - low) * (plot.bottom - plot.top)

    context.font = font
    context.textBaseline = 'middle'
    context.lineWidth = 1
    context.strokeStyle = colors.line
    context.fillStyle = colors.soft
    const step = niceStep(high - low, 4)
    const decimals = Math.max(0, Math.min(3, -Math.floor(Math.log10(step))))
    context.textAlign = 'left'
    for (let price = Math.ceil(low / step) * step; price <= high; price += step) {
      const at = Math.round(y(price)) + 0.5
      if (at < plot.top || at > plot.bottom - 4) continue
      context.beginPath()
      context.moveTo(plot.left, at)
      context.lineTo(plot.right, at)
      context.stroke()
      context.fillText(price.toFixed(decimals), plot.right + 10, at)
    }
    for (const ago of plot.right > 420 ? [60, 45, 30, 15, 0] : [60, 30, 0]) {
      const at = plot.right - ago * 1000 / WINDOW * (plot.right - plot.left)
      context.textAlign = ago === 60 ? 'left' : ago === 0 ? 'right' : 'center'
      context.fillText(ago ? `${ago} s ago` : 'now', at, height - 8)
    }

    // The line up to the drawn moment: the last piece of it is still on the way to the next price. A silence breaks it.
    const path = []
    for (let i = 0; i < shown.length; i++) {
      const point = shown[i], before = shown[i - 1]
      if (point.at > right) {
        if (before && point.at - before.at < 2_500) {
          const part = (right - before.at) / (point.at - before.at)
          path.push({ at: right, price: before.price + (point.price - before.price) * part })
        }
        break
      }
      path.push({ ...point, jump: Boolean(before) && point.at - before.at > 2_500 })
    }
    if (!path.length) return

    context.save()
    context.beginPath()
    context.rect(plot.left, 0, plot.right - plot.left + 8, plot.bottom)
    context.clip()
    const fill = context.createLinearGradient(0, plot.top, 0, plot.bottom)
    fill.addColorStop(0, colors.accent)
    fill.addColorStop(1, `${colors.accent}00`)         // the colors are #rrggbb; this is the same one with alpha 0
    const pieces = []
    for (const point of path) {
      if (!pieces.length || point.jump) pieces.push([])
      pieces.at(-1).push(point)
    }
    for (const piece of pieces) {
      const line = new Path2D()
      piece.forEach((point, i) => line[i ? 'lineTo' : 'moveTo'](x(point.at), y(point.price)))
      const area = new Path2D(line)
      area.lineTo(x(piece.at(-1).at), plot.bottom)
      area.lineTo(x(piece[0].at), plot.bottom)
      context.globalAlpha = 0.16
      context.fillStyle = fill
      context.fill(area)
      context.globalAlpha = 1
      context.strokeStyle = colors.accent
      context.lineWidth = 2
      context.lineJoin = 'round'
      context.stroke(line)
    }
    context.restore()

    const tip = path.at(-1)
    if (tip.at < left) return
    context.beginPath()
    context.arc(x(tip.at), y(tip.price), 4.5, 0, 2 * Math.PI)
    context.fillStyle = colors.accent
    context.fill()
    context.lineWidth = 2
    context.strokeStyle = colors.card
    context.stroke()
  }

  function loop(now) {
    const interval = reducedMotion.matches ? 1_000 : 32        // about 30 frames a second are enough; still life is one
    if (visible && now - lastDrawn >= interval) {
      lastDrawn = now
      draw()
    }
    requestAnimationFrame(loop)
  }

  readColors()
  scheme.addEventListener('change', () => {
    readColors()
    draw()
  })
  new ResizeObserver(resize).observe(canvas)
  new IntersectionObserver(entries => { visible = entries.at(-1).isIntersecting }).observe(canvas)
  requestAnimationFrame(loop)
}
startChart()

const tickerStream = new Stream('/events/ticker', bySlot('ticker-state'), { price: onPrice })

// ---- 4b  notifications with resume ----------------------------------------------------------------------------------

const KEEP_ITEMS = 100         // in the list
const KEEP_COUNTED = 10_000    // in window.ssehubDemo
const longCut = 1000 * (Number(new URLSearchParams(location.search).get('long-cut')) || 60)

// What tests (and the curious, in the console) may look at.
const counted = {
  ids: [],                     // event ids, in the order they came
  ns: [],                      // their n: the server counts its notifications without holes
  duplicates: 0,               // came twice
  holes: 0,                    // never came ...
  unannounced: 0,              // ... and no gap event had said so: must stay 0
  gaps: 0,                     // gap events
  gapEvents: [],               // their data
  proof: null,                 // the last count after an absence
}
window.ssehubDemo = { feed: counted, createParser }

const feed = {
  epoch: null,
  seq: null,
  topN: null,                  // the highest n so far in this epoch
  missing: new Set(),          // the n's below it that have not come
  gap: null,                   // a gap event that the next notification explains in numbers
  away: null,                  // the absence being counted: see leave()
  historyCount: null,
}

const feedList = byTestId('feed-list')

/** An absence begins: by a button, or because the connection was lost. The stream's new state is shown after it. */
function leave(how, until = null) {
  if (feed.away && !feed.away.done) {
    // Away again before the last absence was counted to the end: it is one longer absence.
    Object.assign(feed.away, { how, until, openedAt: null })
  } else {
    feed.away = {
      how, until, since: Date.now(), openedAt: null, done: false,
      epoch: feed.epoch, lastN: feed.topN, got: 0, gap: false,
      duplicatesBefore: counted.duplicates, unannouncedBefore: counted.unannounced,
    }
  }
}

function cut(how, until) {
  if (feedStream.state === 'cut') return
  leave(how, until)
  feedStream.close('cut')
}

function reconnect() {
  if (feedStream.state === 'cut') feedStream.open()
}

function onFeedState(state) {
  if (state === 'waiting' && feed.topN !== null && (!feed.away || feed.away.done || feed.away.openedAt)) leave('lost')
  if (state === 'open' && feed.away && !feed.away.done) {
    feed.away.openedAt = Date.now()
    if (feed.away.lastN === null) feed.away.done = true      // nothing had come before: nothing to compare with
  }
  showFeedState()
}

function onNotification(data, event) {
  const { n, at } = data
  if (!Number.isInteger(n)) return
  const id = event.lastEventId
  const { epoch, seq } = splitId(id)
  noteServerTime(at)

  if (feed.epoch !== null && epoch !== feed.epoch) {         // a new life of the server's log: it counts anew
    feed.topN = null
    feed.seq = null
    feed.missing.clear()
  }
  feed.epoch = epoch

  // Twice? Ids grow within an epoch, and every n comes once.
  const repeated = (seq !== null && feed.seq !== null && seq <= feed.seq) ||
    (feed.topN !== null && n <= feed.topN && !feed.missing.has(n))
  if (seq !== null) feed.seq = Math.max(seq, feed.seq ?? seq)
  counted.ids.push(id)
  counted.ns.push(n)
  if (counted.ids.length > KEEP_COUNTED) {
    counted.ids.shift()
    counted.ns.shift()
  }

  let lost = 0
  if (repeated) {
    counted.duplicates += 1
  } else {
    if (feed.missing.delete(n)) counted.holes -= 1
    if (feed.topN !== null && n > feed.topN + 1) {
      lost = n - feed.topN - 1
      for (let each = Math.max(feed.topN + 1, n - 1000); each < n; each++) feed.missing.add(each)
      counted.holes += lost
      if (!feed.gap) counted.unannounced += lost
    }
    feed.topN = Math.max(n, feed.topN ?? n)
  }

  // Older than the connection that brought it: it happened while we were away.
  const { away } = feed
  const absent = away && !away.done && away.openedAt !== null
  const caughtUp = Boolean(absent) && toLocalTime(at) < away.openedAt
  if (feed.gap) {
    if (absent) away.gap = true
    showLost(lost)
    feed.gap = null
  }
  if (absent) {
    if (caughtUp && !repeated) away.got += 1
    countAbsence(caughtUp ? n : n - 1, { done: !caughtUp })
  }
  showItem({ n, id, seq, data, caughtUp, repeated, lost })
  showFeedState()
}

/**
 * The proof: how many were published while we were away (from n alone: up to the one before the first live event), and
 * how many of them came. Before the first live event it is a preliminary count, as the newest ones could still be due.
 */
function countAbsence(upTo, { done }) {
  const { away } = feed
  away.done = done
  const node = byTestId('feed-proof')
  if (away.epoch !== feed.epoch) {
    away.restarted = true
    counted.proof = { missed: null, got: away.got, duplicates: 0, holes: null, gap: away.gap, restarted: true, final: done }
    node.dataset.state = away.gap ? 'gap' : 'bad'
    setText(node, `The server has a new log (it was restarted), so there is no count; ${away.gap ? 'a gap event said so' : 'no gap event said so'}.`)
    return
  }
  const missed = Math.max(0, upTo - away.lastN)
  const holes = missed - away.got
  const duplicates = counted.duplicates - away.duplicatesBefore
  const unannounced = counted.unannounced - away.unannouncedBefore
  counted.proof = { missed, got: away.got, duplicates, holes, gap: away.gap, restarted: false, final: done }
  Object.assign(node.dataset, { missed, got: away.got, duplicates, holes, final: done })
  node.dataset.state = duplicates || unannounced ? 'bad' : holes ? 'gap' : 'ok'
  const note = unannounced ? ', and no gap event said so' : holes ? ', announced by a gap event' : ''
  setText(node, `missed ${missed}, got ${away.got}, duplicates ${duplicates}, holes ${holes}${note}${done ? '' : ' …'}`)
}

const gapWords = {
  expired: {
    title: 'Gap: away for longer than the history',
    text: keeps => `The server remembers ${keeps}. It says what it cannot give any more, instead of going on in silence; here an app would load its state anew.`,
  },
  unknown: {
    title: 'Gap: the server does not know this position',
    text: () => 'The last id is from another life of the log: most likely the server was restarted. An id carries an epoch, so that a stream never resumes at a wrong place.',
  },
  lagged: {
    title: 'Gap: this page was too slow',
    text: () => 'More was waiting for this reader than the limit allows. Events were skipped for it alone; no other reader and no publisher had to wait.',
  },
}

function onGap(data, event) {
  counted.gaps += 1
  counted.gapEvents.push({ ...data, id: event.lastEventId })
  feed.gap = data
  const words = gapWords[data.reason] ?? { title: 'Gap: events are missing', text: () => 'Events that this page should have had are no longer there.' }
  const keeps = feed.historyCount ? `the last ${feed.historyCount} notifications` : 'only so many notifications'
  setText(bySlot('gap-title'), words.title)
  setText(bySlot('gap-text'), words.text(keeps))
  const banner = byTestId('feed-gap')
  banner.dataset.reason = data.reason ?? ''
  banner.hidden = false
  showFeedState()
}

function showLost(lost) {
  const title = bySlot('gap-title')
  if (lost && !byTestId('feed-gap').hidden) setText(title, `${title.textContent} (${grouped.format(lost)} lost)`)
}

function showItem({ n, id, seq, data, caughtUp, repeated, lost }) {
  bySlot('feed-empty').hidden = true
  const item = element('li', caughtUp ? 'is-caught-up' : '')
  item.dataset.id = id
  item.dataset.n = n
  item.dataset.caughtUp = caughtUp
  const main = element('div')
  main.append(element('p', 'item-title', String(data.title ?? '')), element('p', 'item-body', String(data.body ?? '')))
  const side = element('div', 'item-side')
  const time = element('time', '', Number.isFinite(data.at) ? timeOfDay.format(data.at) : '')
  if (Number.isFinite(data.at)) time.dateTime = new Date(data.at).toISOString()
  const place = element('code', '', seq === null ? `n ${n}` : `n ${n} · seq ${seq}`)
  place.title = `id ${id}`
  const first = element('p')
  if (repeated || caughtUp) first.append(element('span', 'item-badge', repeated ? 'duplicate' : 'caught up'), ' ')
  first.append(time)
  side.append(first, place)
  item.append(main, side)
  if (lost) item.append(element('p', 'item-lost', `Gap: ${plural(lost, 'notification')} before this one ${lost === 1 ? 'is' : 'are'} lost for this page.`))
  feedList.prepend(item)
  while (feedList.children.length > KEEP_ITEMS) feedList.lastElementChild.remove()
}

function setEnabled(button, enabled) {
  button.setAttribute('aria-disabled', String(!enabled))     // not `disabled`: the keyboard's focus would be lost
}

function showFeedState() {
  const { state, lastEventId } = feedStream
  const { away } = feed
  setEnabled(byTestId('feed-cut'), state !== 'cut' && lastEventId !== '')
  setEnabled(byTestId('feed-long-cut'), state !== 'cut' && lastEventId !== '')
  setEnabled(byTestId('feed-reconnect'), state === 'cut')

  const position = bySlot('feed-last-id')
  setText(position, lastEventId ? shortId(lastEventId) : 'none yet')
  position.title = lastEventId

  let text = { open: 'live', connecting: 'connecting', waiting: 'lost, trying again' }[state]
  if (state === 'cut') {
    text = `cut for ${seconds(Date.now() - away.since)}`
    if (away.until) text += `, back in ${seconds(away.until - Date.now() + 999)}`
  }
  setText(bySlot('feed-clock'), text)

  const proof = byTestId('feed-proof')
  if (away && !away.done && away.openedAt === null) {
    proof.dataset.state = 'away'
    for (const key of ['missed', 'got', 'duplicates', 'holes', 'final']) delete proof.dataset[key]
    setText(proof, state === 'cut' ? 'Cut. The server goes on publishing; nothing arrives here.' : 'Connection lost. The browser comes back with the last id.')
  } else if (away && !away.done && proof.dataset.state === 'away') {
    setText(proof, 'Back. Counting up to the next live event …')
  }
}

const feedStream = new Stream('/events/notifications', bySlot('feed-state'), { notification: onNotification, 'ssehub:gap': onGap }, { onState: onFeedState })

function whenEnabled(testId, action) {
  byTestId(testId).addEventListener('click', event => {
    if (event.currentTarget.getAttribute('aria-disabled') !== 'true') action()
  })
}
whenEnabled('feed-cut', () => cut('cut', null))
whenEnabled('feed-long-cut', () => cut('long', Date.now() + longCut))
whenEnabled('feed-reconnect', reconnect)
setText(byTestId('feed-long-cut'), `Cut for ${longCut / 1000} s`)
bySlot('gap-close').addEventListener('click', () => {
  byTestId('feed-gap').hidden = true
  document.querySelector('.feed-scroll').focus()
})

byTestId('feed-form').addEventListener('submit', async event => {
  event.preventDefault()
  const form = event.currentTarget
  const note = bySlot('form-note')
  const say = (text, state = '') => {
    note.dataset.state = state
    setText(note, text)
  }
  try {
    const response = await fetch('/notifications', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ title: form.elements.title.value, body: form.elements.body.value }),
    })
    if (!response.ok) return say(`The server answered ${response.status}; nothing was posted.`, 'bad')
    form.reset()
    form.elements.title.focus()
    say(feedStream.state === 'cut'
      ? 'Posted while you are cut off: it comes when you reconnect.'
      : 'Posted: it came back to you, and to everybody else, over the stream.')
  } catch {
    say('The server cannot be reached; nothing was posted.', 'bad')
  }
})

// ---- 4c  token stream -----------------------------------------------------------------------------------------------

// EventSource can only GET: no method, no body, no headers of one's own. A prompt belongs into a POST, so this stream is
// read with fetch() and parsed here. What is lost is what EventSource adds: it does not reconnect by itself, which is
// right for an answer that would have to be generated (and paid for) again.

const chat = { abort: null, tokens: 0, firstAt: 0, timer: 0 }

function showTokens() {
  setText(byTestId('chat-tokens'), grouped.format(chat.tokens))
  const span = performance.now() - chat.firstAt
  if (chat.tokens > 1 && span > 0) setText(byTestId('chat-rate'), (1000 * chat.tokens / Math.max(span, 250)).toFixed(1))
}

async function ask(prompt) {
  const output = byTestId('chat-output')
  const status = bySlot('chat-status')
  const indicator = bySlot('chat-state')
  const abort = new AbortController()
  let announced = null           // what `done` says
  let failed = false             // an `ssehub:error` event: the generator raised
  chat.abort?.abort()
  clearInterval(chat.timer)
  Object.assign(chat, { abort, tokens: 0, firstAt: 0, timer: setInterval(() => chat.firstAt && showTokens(), 200) })

  output.replaceChildren()
  output.dataset.state = 'streaming'
  indicator.dataset.state = 'open'
  setEnabled(byTestId('chat-stop'), true)
  setText(byTestId('chat-tokens'), '0')
  setText(byTestId('chat-rate'), '0')
  setText(status, 'Waiting for the first token …')

  const startedAt = performance.now()
  const parser = createParser(({ type, data }) => {
    if (type === 'token') {
      const text = parseData(data)?.text
      if (typeof text !== 'string') return
      if (!chat.firstAt) {
        chat.firstAt = performance.now()
        setText(status, `First token after ${Math.round(chat.firstAt - startedAt)} ms.`)
      }
      chat.tokens += 1
      const pinned = output.scrollHeight - output.scrollTop - output.clientHeight < 40
      output.append(element('span', '', text))
      if (pinned) output.scrollTop = output.scrollHeight
    } else if (type === 'done') {
      announced = parseData(data)?.tokens ?? chat.tokens
    } else if (type === 'ssehub:error') {
      failed = true
    }
  })

  let state, text
  try {
    const response = await fetch('/chat', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Accept: 'text/event-stream' },
      body: JSON.stringify({ prompt }),
      signal: abort.signal,
    })
    if (!response.ok) {
      [state, text] = ['failed', `The server answered ${response.status}.`]
    } else if (!/^text\/event-stream\b/i.test(response.headers.get('Content-Type') ?? '')) {
      [state, text] = ['failed', 'The answer is not an event stream.']
    } else {
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        parser.feed(value)
      }
    }
  } catch {
    if (abort.signal.aborted) [state, text] = ['stopped', `Stopped after ${plural(chat.tokens, 'token')}.`]
    else [state, text] = ['failed', chat.tokens ? 'The stream was cut before its end.' : 'The server cannot be reached.']
  }
  if (chat.abort !== abort) return                           // a newer question has taken over
  if (failed) [state, text] = ['failed', 'The generator failed on the server; the stream was ended.']
  state ??= announced === null ? 'failed' : 'done'
  text ??= announced === null
    ? 'The stream ended without its last event.'
    : `Done in ${((performance.now() - startedAt) / 1000).toFixed(1)} s; the server says ${plural(announced, 'token')}.`

  clearInterval(chat.timer)
  chat.abort = null
  output.dataset.state = state
  indicator.dataset.state = state === 'failed' ? 'waiting' : 'idle'
  setEnabled(byTestId('chat-stop'), false)
  if (chat.firstAt) showTokens()
  setText(status, text)
}

byTestId('chat-form').addEventListener('submit', event => {
  event.preventDefault()
  ask(event.currentTarget.elements.prompt.value)
})
whenEnabled('chat-stop', () => chat.abort?.abort())

// ---- 4d  counters ---------------------------------------------------------------------------------------------------

// Whatever the hub reports is shown. A few well-known names get large tiles; nested objects (one level) become groups.

const TILES = ['connections', 'published', 'delivered', 'gaps', 'subscribers', 'topics']
const BYTES = /(^|_)bytes($|_)/
const GROWING = /(^|_)(published|delivered|frames|bytes|events|sends|writes|rounds|wakeups|coalesced|batches)($|_)/
const NOT_GROWING = /(^|_)(pinned|history|retained|memory|limit|max|queue|queued|pending)($|_)/

const stats = { shape: '', cells: new Map(), samples: [] }

/** inLoop, in_loop, in-loop: one spelling to look at. */
const snake = key => key.replace(/([a-z0-9])([A-Z])/g, '$1_$2').replace(/[\s-]+/g, '_').toLowerCase()

function label(key) {
  const words = snake(key).replace(/_/g, ' ').replace(/\bin loop\b/, 'in-loop').trim()
  return words.charAt(0).toUpperCase() + words.slice(1)
}

function formatBytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let power = 0
  while (Math.abs(n) >= 1024 && power < units.length - 1) {
    n /= 1024
    power += 1
  }
  return `${power && n < 100 ? n.toFixed(1) : Math.round(n)} ${units[power]}`
}

function formatNumber(key, n) {
  if (BYTES.test(snake(key))) return formatBytes(n)
  if (Math.abs(n) >= 1e8) return compact.format(n)
  return grouped.format(Number.isInteger(n) ? n : Math.round(n * 100) / 100)
}

function formatValue(key, value) {
  if (typeof value === 'number') return formatNumber(key, value)
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (value === null || value === undefined) return '–'
  if (Array.isArray(value)) return value.length ? value.map(String).join(', ') : 'none'
  return typeof value === 'object' ? JSON.stringify(value) : shortId(String(value))
}

const isGroup = value => value !== null && typeof value === 'object' && !Array.isArray(value)

/** The object as a list of { path, key, value }, and its shape: the layout is built anew only when that changes. */
function flatten(data) {
  const own = [], groups = []
  for (const [key, value] of Object.entries(data)) {
    if (!isGroup(value)) own.push({ path: key, key, value })
    else groups.push({ key, entries: Object.entries(value).map(([inner, v]) => ({ path: `${key}.${inner}`, key: inner, value: v })) })
  }
  // Sorted: the keys of an object have no order.
  const shape = JSON.stringify([own.map(e => `${e.path} ${typeof e.value}`), groups.flatMap(g => g.entries.map(e => e.path))].map(list => list.sort()))
  return { own, groups, shape }
}

function buildCounters({ own, groups }) {
  stats.cells.clear()
  const cell = (entry, className) => {
    const box = element('div', className)
    const value = element('dd')
    const number = element('span')
    const rate = element('small')
    value.append(...(className === 'tile' ? [number, rate] : [rate, number]))
    box.append(element('dt', '', label(entry.key)), value)
    box.dataset.key = entry.path
    stats.cells.set(entry.path, { number, rate, value })
    return box
  }
  const list = (className, boxes) => {
    const node = element('dl', className)
    node.append(...boxes)
    return node
  }
  const large = TILES.map(key => own.find(e => snake(e.key) === key && typeof e.value === 'number')).filter(Boolean).slice(0, 4)
  const small = own.filter(entry => !large.includes(entry))
  const columns = element('div', large.length ? 'columns' : 'columns is-alone')
  if (small.length) columns.append(list('', small.map(e => cell(e, 'row'))))
  for (const { key, entries } of groups) {
    const group = element('section', 'group')
    group.append(element('h3', '', label(key)), list('', entries.map(e => cell(e, 'row'))))
    columns.append(group)
  }
  const tiles = large.length ? [list('tiles', large.map(e => cell(e, 'tile')))] : []
  byTestId('stats-list').replaceChildren(...tiles, columns)
}

function onStats(data) {
  const flat = flatten(data)
  if (flat.shape !== stats.shape) {
    buildCounters(flat)
    stats.shape = flat.shape
    stats.samples = []
  }
  const values = new Map([...flat.own, ...flat.groups.flatMap(g => g.entries)].map(e => [e.path, e]))
  const now = performance.now()
  if (stats.samples.length > 1 && now - stats.samples.at(-1).now < 300) stats.samples.pop()      // replayed in one go
  stats.samples.push({ now, values })
  if (stats.samples.length > 6) stats.samples.shift()
  const oldest = stats.samples[0]
  for (const [path, { key, value }] of values) {
    const { number, rate, value: cell } = stats.cells.get(path)
    setText(number, formatValue(key, value))
    cell.title = typeof value === 'number' ? grouped.format(value) : typeof value === 'string' ? value : ''
    const name = snake(path.replace('.', '_'))
    if (typeof value !== 'number' || !GROWING.test(name) || NOT_GROWING.test(name) || oldest.now === now) continue
    const perSecond = (value - oldest.values.get(path).value) * 1000 / (now - oldest.now)
    if (perSecond < 0) stats.samples = [stats.samples.at(-1)]          // the server was restarted
    setText(rate, perSecond > 0 ? `+${BYTES.test(name) ? formatBytes(perSecond) : grouped.format(Math.round(perSecond * 10) / 10)}/s` : '')
  }
}

const statsStream = new Stream('/events/stats', bySlot('stats-state'), { stats: onStats })

// ---- 5  the page ----------------------------------------------------------------------------------------------------

const snippets = {
  Python: {
    ticker: () => `
hub.publish("ticker", {"symbol": "SSE", "price": p, "at": now},
            event="price")

@app.get("/events/ticker", response_class=EventSourceResponse)
async def ticker():
    return EventSourceResponse(
        hub.subscribe("ticker", last_event_id="earliest"))`,
    feed: count => `
hub = Hub(topics={"notifications": History(count=${count})})

@app.post("/notifications", status_code=202)
def post(item: Notification):
    hub.publish("notifications", item,
                event="notification")`,
    chat: () => `
@app.post("/chat", response_class=EventSourceResponse)
async def chat(q: Prompt):
    return EventSourceResponse(tokens(q))   # any iterable`,
    stats: () => `
async def report():
    while True:
        hub.publish("stats", hub.stats(), event="stats")
        await asyncio.sleep(1)`,
  },
  Node: {
    ticker: () => `
hub.publish('ticker', { symbol: 'SSE', price, at: Date.now() },
            { event: 'price' })

app.get('/events/ticker', sse(() => {
  return hub.subscribe('ticker', { lastEventId: 'earliest' })
}))`,
    feed: count => `
const topics = { notifications: { count: ${count} } }
const hub = new Hub({ topics })

app.post('/notifications', (req, res) => {
  hub.publish('notifications', req.body,
              { event: 'notification' })
  res.sendStatus(202)
})`,
    chat: () => `
app.post('/chat', sse(async function* (req, res, { signal }) {
  yield* tokens(req.body.prompt, { signal })   // any iterable
}))`,
    stats: () => `
setInterval(() => {
  hub.publish('stats', hub.stats(), { event: 'stats' })
}, 1000)`,
  },
}

/** Strings, comments and a few words get a class; enough for snippets of five lines. */
function highlight(node, code) {
  const pattern = /(?<note>#.*|\/\/.*)|(?<string>"[^"]*"|'[^']*')|(?<hub>\bhub\.\w+)|(?<word>@[\w.]+|\b(?:async|await|const|def|function|new|return|while|yield)\b\*?|\bTrue\b)/g
  const parts = []
  let last = 0
  for (const match of code.matchAll(pattern)) {
    const kind = Object.keys(match.groups).find(name => match.groups[name] !== undefined)
    parts.push(code.slice(last, match.index), element('span', `tok-${kind}`, match[0]))
    last = match.index + match[0].length
  }
  const inner = element('code')
  inner.append(...parts, code.slice(last))
  node.replaceChildren(inner)
}

function showSnippets(language, historyCount) {
  for (const node of document.querySelectorAll('[data-snippet]')) {
    const name = node.dataset.snippet
    highlight(node, snippets[language][name](historyCount ?? 20).trim())
    node.tabIndex = 0                                        // it may scroll sideways
    node.setAttribute('role', 'region')
    node.setAttribute('aria-label', `${language} code of this section`)
  }
}

/** Room for the longer of the two languages, before it is known which one it will be. */
function reserveSnippets() {
  for (const node of document.querySelectorAll('[data-snippet]')) {
    const lines = Object.values(snippets).map(set => set[node.dataset.snippet](20).trim().split('\n').length)
    node.style.setProperty('--lines', Math.max(...lines))
  }
}

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
  feed.historyCount = Number.isInteger(config.history?.count) ? config.history.count : null
  setText(bySlot('server-name'), String(config.name ?? 'unknown'))
  setText(bySlot('server-language'), String(config.language ?? ''))
  const [peerName, peerLanguage] = language === 'Node' ? ['FastAPI', 'Python'] : ['Express', 'Node']
  setText(bySlot('peer-name'), peerName)
  setText(bySlot('peer-language'), peerLanguage)
  const href = config.peer ? peerAddress(config.peer) : null
  if (href) bySlot('peer-link').href = href
  if (config.version) setText(bySlot('version'), String(config.version))
  if (config.name) document.title = `ssehub demo on ${config.name}`
  if (feed.historyCount) setText(bySlot('history-count'), grouped.format(feed.historyCount))
  showSnippets(language, feed.historyCount)
}

reserveSnippets()
configure()
for (const stream of streams) stream.open()

setInterval(showRate, 500)
setInterval(() => {
  if (feedStream.state !== 'cut') return
  if (feed.away.until && Date.now() >= feed.away.until) reconnect()
  else showFeedState()
}, 250)

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
  if (feedStream.state !== 'cut' && feed.topN !== null) leave('lost')
  for (const stream of streams) if (stream.state !== 'cut') stream.close('resting')
})
addEventListener('pageshow', event => {
  if (!event.persisted) return
  for (const stream of streams) if (stream.state === 'resting') stream.open()
})
