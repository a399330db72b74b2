// Notifications with resume: cut, come back, and a proof of what came meanwhile.

import {
  bySlot, byTestId, element, grouped, noteServerTime, plural, seconds, setEnabled, setText, shortId, splitId, timeOfDay,
  toLocalTime, whenEnabled,
} from './common.js'
import { Stream } from './stream.js'

const KEEP_ITEMS = 100         // in the list
const KEEP_COUNTED = 10_000    // in window.ssehubDemo
const longCut = 1000 * (Number(new URLSearchParams(location.search).get('long-cut')) || 60)

// What tests (and the curious, in the console) may look at.
export const counted = {
  ids: [],                     // event ids, in the order they came
  ns: [],                      // their n: the server counts its notifications without holes
  duplicates: 0,               // came twice
  holes: 0,                    // never came ...
  unannounced: 0,              // ... and no gap event had said so: must stay 0
  gaps: 0,                     // gap events
  gapEvents: [],               // their data
  proof: null,                 // the last count after an absence
}

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

/** How many notifications the server remembers, where it says so. */
export function noteHistory(count) {
  feed.historyCount = count
  if (count) setText(bySlot('history-count'), grouped.format(count))
}

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

/** The page is left: an absence, too, unless one is under way. */
export function leaveWithPage() {
  if (feedStream.state !== 'cut' && feed.topN !== null) leave('lost')
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

setInterval(() => {
  if (feedStream.state !== 'cut') return
  if (feed.away.until && Date.now() >= feed.away.until) reconnect()
  else showFeedState()
}, 250)
