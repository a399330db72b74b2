import { createRequire } from 'node:module'
const require = createRequire('/work/main/bench/node/package.json')
const { createParser } = await import(require.resolve('eventsource-parser'))
const { EventSourceParserStream } = await import(require.resolve('eventsource-parser/stream'))
import { Parser, events } from 'ssehub'
let text = ''
const words = ['hello',' world','日本','语','🙂','the',' quick','é',' brown']
let i = 0
while (text.length < 16e6) {
  const w = i % 12 === 0 ? words[2 + (i/12) % 3] : words[(i*7) % 9 < 2 || (i*7)%9 > 4 ? (i*7)%9 : 0]
  text += `data: {"id":"chatcmpl-9xK2bQ7","object":"chat.completion.chunk","created":1732060800,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_a7d06e42a7","choices":[{"index":0,"delta":{"content":"${w}"},"logprobs":null,"finish_reason":null}],"usage":null,"x":${i}}\n\n`
  i++
}
const buf = Buffer.from(text)
const cut = size => { const c=[]; let s=0; while (s<buf.length) { const e = size>0 ? s+size : buf.indexOf('\n\n', s)+2; c.push(new Uint8Array(buf.subarray(s,e))); s=e } return c }
const response = chunks => { let n=0; return new Response(new ReadableStream({pull(c){ n<chunks.length? c.enqueue(chunks[n++]) : c.close() }})) }
let seen = 0
const peers = {
  feed: chunks => { const p = new Parser(); for (const c of chunks) for (const e of p.feed(c)) seen += e.data.length },
  'es feed': chunks => { const d = new TextDecoder(); const p = createParser({onEvent: e => { seen += e.data.length }}); for (const c of chunks) p.feed(d.decode(c,{stream:true})) },
  events: async chunks => { for await (const e of events(response(chunks))) seen += e.data.length },
  'es stream': async chunks => { for await (const e of response(chunks).body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())) seen += e.data.length },
}
for (const size of [16384, 0]) {
  const chunks = cut(size)
  const best = {}
  for (let r = 0; r < 7; r++) for (const [name, f] of Object.entries(peers)) {
    const t = performance.now(); await f(chunks); const d = (performance.now()-t)*1e6/i
    best[name] = Math.min(best[name] ?? 1e9, d)
  }
  console.log(size, Object.fromEntries(Object.entries(best).map(([k,v])=>[k, Math.round(v)+' ns'])))
}
