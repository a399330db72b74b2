import express from 'express'
import { Hub, encode, event, Parser } from 'ssehub'
import { sse } from 'ssehub/express'
console.log(encode({data:'x\ny', id:'1'}).toString(), event({data:{a:1}}))
const p = new Parser(); console.log(p.feed(Buffer.from('id: 7\nevent: gr\u00fc\u00df\ndata: h\u00e9\n\ndata: x\n\nid\ndata\n\n')), p.lastEventId)
const hub = new Hub()
const app = express()
app.get('/events', sse(req => hub.subscribe('news')))
app.get('/chat', sse(async function* () { for (let i=0;i<3;i++) { yield {i}; await new Promise(r=>setTimeout(r,100)) } }))
const s = app.listen(8123,'127.0.0.1')
hub.on('open', i=>console.log('open',i)); hub.on('close', i=>console.log('close',i))
let n=0; const t=setInterval(()=>{hub.publish('news',{n:n++},{event:'tick'})},300)
setTimeout(()=>{clearInterval(t); s.close(()=>console.log('closed')); }, 3000)
