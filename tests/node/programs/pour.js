// A server in a process of its own that writes events as fast as they are taken.
import { createServer } from 'node:net'

const events = 'data: {"token":"hello, this is a small event"}\n\n'.repeat(1000)
const server = createServer(socket => {
  socket.on('error', () => {})
  socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n')
  const go = () => { while (socket.write(events)); }
  socket.on('drain', go)
  go()
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
