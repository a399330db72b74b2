// The SDKs of OpenAI and Anthropic read what a server built with ssehub sends, and so does our client.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'

import { listen } from '../../examples/node/llm_server.js'

const ANSWER = 'Server-Sent Events — one token at a time.'

async function serving(use) {
  const server = await listen()
  try {
    await use(`http://127.0.0.1:${server.address().port}`)
  } finally {
    server.close()
    server.closeAllConnections()
  }
}

test('the OpenAI SDK', async () => {
  await serving(async base => {
    const client = new OpenAI({ apiKey: 'key', baseURL: `${base}/v1`, maxRetries: 0 })
    const ask = async model => {
      const messages = [{ role: 'user', content: 'What is this?' }]
      let text = ''
      let finished = null
      for await (const { choices } of await client.chat.completions.create({ model, messages, stream: true })) {
        text += choices[0].delta.content ?? ''
        finished ??= choices[0].finish_reason
      }
      return [text, finished]
    }
    assert.deepEqual(await ask('whole'), [ANSWER, 'stop'])
    await assert.rejects(ask('failing'), /overloaded/)
  })
})

test('the Anthropic SDK', async () => {
  await serving(async base => {
    const client = new Anthropic({ apiKey: 'key', baseURL: base, maxRetries: 0 })
    const ask = async model => {
      const messages = [{ role: 'user', content: 'What is this?' }]
      const types = []
      let text = ''
      for await (const event of await client.messages.create({ model, max_tokens: 99, messages, stream: true })) {
        types.push(event.type)
        if (event.type === 'content_block_delta') text += event.delta.text
      }
      return [text, types.at(-1)]
    }
    assert.deepEqual(await ask('whole'), [ANSWER, 'message_stop'])
    await assert.rejects(ask('failing'), /Overloaded/)
  })
})

test('our client: whole answers, errors in the middle, answers that are cut', async () => {
  const path = fileURLToPath(new URL('../../examples/node/llm_stream.js', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [path])
  const [begin] = ANSWER.split(' at ')
  assert.deepEqual(stdout.trim().split('\n').map(line => line.replace(/ \(http.*\)$/, '')), [
    `openai, whole: ${ANSWER}`,
    `openai, failing: ${begin} -- the model is overloaded`,
    `openai, cut: ${begin} -- the stream has ended without its end mark: what came may be incomplete`,
    `anthropic, whole: ${ANSWER}`,
    `anthropic, failing: ${begin} -- Overloaded`,
    `anthropic, cut: ${begin} -- the stream has ended without its end mark: what came may be incomplete`,
  ])
})
