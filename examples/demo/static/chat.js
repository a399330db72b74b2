// The token stream: an answer that arrives word by word, and can be stopped.
//
// EventSource can only GET: no method, no body, no headers of one's own. A prompt belongs into a POST, so this stream is
// read with fetch() and parsed here. What is lost is what EventSource adds: it does not reconnect by itself, which is
// right for an answer that would have to be generated (and paid for) again.

import { bySlot, byTestId, element, grouped, plural, setEnabled, setText, whenEnabled } from './common.js'
import { createParser, parseData } from './parser.js'

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
