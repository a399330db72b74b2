// A stream of the server's, with a state for all to see.

import { bySlot, byTestId, setText } from './common.js'
import { parseData } from './parser.js'

export const streams = []

/**
 * An EventSource and its state: connecting, open, waiting (it was lost, and comes back), cut or resting (closed by us).
 * Reconnecting after a lost connection is the browser's work, with the Last-Event-ID header, and nothing here disturbs it.
 * Only when the browser has given up for good (no such path, not an event stream) a new one is tried after a while.
 */
export class Stream {
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
