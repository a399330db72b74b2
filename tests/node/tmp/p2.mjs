import native from '/work/main/bindings-node/native.cjs'
import { Parser, encode, Hub } from 'ssehub'
const p = native.parserNew(1e7); const P = new Parser()
const empty = new Uint8Array(0)
const one = new Uint8Array(Buffer.from('data: {"id":"chatcmpl-9xK2bQ7","object":"chat.completion.chunk","created":1732060800,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_a7d06e42a7","choices":[{"index":0,"delta":{"content":"hello"},"logprobs":null,"finish_reason":null}],"usage":null,"x":1}\n\n'))
const time = (name, f, n=500000) => { for (let i=0;i<50000;i++) f(); const t=performance.now(); for (let i=0;i<n;i++) f(); console.log(name, ((performance.now()-t)*1e6/n).toFixed(0)) }
time('retry()', () => native.parserRetry(p))
time('version', () => native.version())
time('feed empty', () => native.parserFeed(p, empty))
time('feed one', () => native.parserFeed(p, one))
time('Parser.feed one', () => P.feed(one))
const hub = new Hub()
const data = JSON.stringify({ a: 'x'.repeat(130) })
time('encode', () => encode({ data, event: 'tick', id: '12' }))
time('native encode', () => native.encode(data, 'tick', '12'))
time('publish', () => hub.publish('t', data, { event: 'tick' }))
time('publish obj', () => hub.publish('t', {a:1,b:'x'}))
