// The answer of a language model, token by token: OpenAI's and Anthropic's wire shapes, from a small server that
// replays them (llm_server.js). An answer that breaks off is an error, and not a short answer.
//
//   npm install ssehub express          (inside this repository: npm install && npm run build)
//   node examples/node/llm_stream.js
import { EventSource } from 'ssehub'

import { listen } from './llm_server.js'

async function* openai(base, body) {
  const source = new EventSource(`${base}/v1/chat/completions`, {
    headers: { authorization: 'Bearer key' },
    json: { ...body, stream: true },
    stopOn: '[DONE]',
  })
  for await (const { data } of source) {
    const chunk = JSON.parse(data)
    if (chunk.error) throw new Error(chunk.error.message)
    yield chunk.choices[0]?.delta.content ?? ''
  }
}

async function* anthropic(base, body) {
  const source = new EventSource(`${base}/v1/messages`, {
    headers: { 'x-api-key': 'key', 'anthropic-version': '2023-06-01' },
    json: { ...body, stream: true },
    stopOn: { event: 'message_stop' },
  })
  for await (const { event, data } of source) {
    if (event === 'error') throw new Error(JSON.parse(data).error.message)
    if (event === 'content_block_delta') yield JSON.parse(data).delta.text
  }
}

const server = await listen()
const base = `http://127.0.0.1:${server.address().port}`
for (const ask of [openai, anthropic]) {
  for (const model of ['whole', 'failing', 'cut']) {
    process.stdout.write(`${ask.name}, ${model}: `)
    try {
      for await (const token of ask(base, { model })) process.stdout.write(token)
      console.log()
    } catch (error) {
      console.log(` -- ${error.message}`)
    }
  }
}
server.close()
