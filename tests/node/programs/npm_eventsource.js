// A program for the package `eventsource`, as its users write them. It runs with that package, and with ours in its place.
import { EventSource } from 'eventsource'

const [url, gone] = process.argv.slice(-2)
const log = []
const tell = (...words) => log.push(words.join(' '))

const es = new EventSource(url, { withCredentials: true })
tell('state', es.readyState, EventSource.CONNECTING, EventSource.OPEN, es.CLOSED)
tell('url', es.url === url, es.withCredentials)

es.onopen = event => tell(event.type, es.readyState)
es.onmessage = event => tell('message', event.data, event.lastEventId, event.origin === new URL(url).origin)
es.addEventListener('update', event => tell(event.type, JSON.parse(event.data).n, event.lastEventId))
es.addEventListener('update', { handleEvent: event => tell('an object', event.data) })
es.addEventListener('once', event => tell('once', event.data), { once: true })
const unwanted = () => tell('never')
es.addEventListener('message', unwanted)
es.removeEventListener('message', unwanted)
es.addEventListener('error', event => {
  tell('error', es.readyState, event.code)
  if (es.readyState !== EventSource.CLOSED) return
  es.close()
  tell('closed', es.readyState)
  refused()
})

// An answer that opens no stream.
function refused() {
  const other = new EventSource(gone)
  other.onmessage = unwanted
  other.onerror = ({ code }) => {
    tell('refused', code, other.readyState)
    stopped()
  }
}

// Closed by its own listener.
function stopped() {
  const third = new EventSource(url)
  third.onmessage = ({ data }) => {
    tell('again', data)
    if (data !== 'two') return
    third.close()
    setTimeout(() => console.log(log.join('\n')), 100)
  }
}
