import http2 from 'node:http2'
import { Hub } from 'ssehub'
import { sse } from 'ssehub/express'
const hub = new Hub()
const server = http2.createServer({}, sse(req => req.url==='/c' ? (async function*(){ yield 1; await new Promise(r=>setTimeout(r,50)); throw new Error('x') })() : hub.subscribe('t')))
server.listen(0, async () => {
  const c = http2.connect('http://127.0.0.1:'+server.address().port)
  const get = path => { const s = c.request({':path':path}); s.setEncoding('utf8'); s.on('response', h=>console.log(path, h[':status'], h['content-type'])); s.on('data', d=>console.log(path, JSON.stringify(d))); s.on('close',()=>console.log(path,'close', s.rstCode)); s.on('error',e=>console.log(path, e.message)); return s }
  get('/a'); get('/c'); const b=get('/b')
  setTimeout(()=>hub.publish('t','x'.repeat(50)),100)
  setTimeout(()=>b.close(),200)
  setTimeout(()=>console.log(hub.stats().connections, hub.disconnect({topic:'t'})),300)
  setTimeout(()=>{get('/d'); setTimeout(()=>server.close(()=>console.log('closed')),100)},400)
  setTimeout(()=>{console.log('still', hub.stats().connections); process.exit()}, 3000)
})
