// Follows a stream: its events, when it was lost and came back, and what was missed meanwhile.
//
//   npm install ssehub                  (inside this repository: npm install && npm run build)
//   node examples/node/http.js          (in another terminal: something to follow; end it and start it again)
//   node examples/node/eventsource.js [URL]
import { EventSource } from 'ssehub'

const source = new EventSource(process.argv[2] ?? 'http://127.0.0.1:3000/events', {
  // Also after 502 and the like, at most 5 s apart. Without it, browsers' rules hold.
  reconnect: { maxDelay: 5 },
  // A connection without even a heartbeat for so many seconds is dead.
  timeout: 40,
  onGap: ({ reason }) => console.log(`-- events are lost (${reason})`),
})
source.onopen = () => console.log(`-- open: ${source.response.url}`)
source.onerror = ({ message, delay }) => console.log(`-- ${message}${delay ? `; again in ${delay} s` : ''}`)

for await (const { event, data, id } of source) console.log(`${event} ${id}: ${data}`)
