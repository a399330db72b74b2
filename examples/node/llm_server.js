// A stand-in for two providers of language models, built with ssehub: it replays answers in their wire shapes. The
// model says what becomes of an answer: `failing` has an error in the middle, `cut` ends without its end mark.
import express from 'express'
import { event } from 'ssehub'
import { sse } from 'ssehub/express'

const TOKENS = ['Server', '-Sent', ' Events', ' — one', ' token', ' at', ' a', ' time', '.']

async function* openai({ model }) {
  const chunk = (delta, finish) => ({
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1700000000,
    model,
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
  })
  yield chunk({ role: 'assistant', content: '' }, null)
  for (const [n, content] of TOKENS.entries()) {
    if (n === 5 && model === 'cut') return
    if (n === 5 && model === 'failing') {
      yield { error: { message: 'the model is overloaded', type: 'server_error', code: null, param: null } }
      return
    }
    await pause()
    yield chunk({ content }, null)
  }
  yield chunk({}, 'stop')
  yield '[DONE]'
}

async function* anthropic({ model }) {
  const named = data => event({ event: data.type, data })
  const usage = { input_tokens: 3, output_tokens: 1 }
  const message = { id: 'msg_1', type: 'message', role: 'assistant', model, content: [], stop_reason: null, stop_sequence: null, usage }
  yield named({ type: 'message_start', message })
  yield named({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } })
  yield named({ type: 'ping' })
  for (const [n, text] of TOKENS.entries()) {
    if (n === 5 && model === 'cut') return
    if (n === 5 && model === 'failing') {
      yield named({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } })
      return
    }
    await pause()
    yield named({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })
  }
  yield named({ type: 'content_block_stop', index: 0 })
  yield named({ type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: TOKENS.length } })
  yield named({ type: 'message_stop' })
}

const pause = () => new Promise(resolve => { setTimeout(resolve, 20) })

/** Serves both, on a port of its own. */
export async function listen(port = 0) {
  const app = express()
  app.use(express.json())
  app.post('/v1/chat/completions', sse(req => openai(req.body)))
  app.post('/v1/messages', sse(req => anthropic(req.body)))
  return new Promise(resolve => {
    const server = app.listen(port, '127.0.0.1', () => resolve(server))
  })
}
