// What client.py is in Python: `client.js URL OPTIONS`, which prints a line of JSON for all that a source tells.
//
// OPTIONS is JSON: `words` are posted, with a token that is good at the second attempt; `last_event_id`; `stop_on`;
// `async` reads with `for await`, and otherwise there are listeners.
import { EventSource } from 'ssehub'

const [url, text] = process.argv.slice(2)
const options = JSON.parse(text)
const say = (kind, what) => console.log(JSON.stringify({ kind, ...what }))

const source = new EventSource(url, {
  json: options.words && { words: options.words },
  headers: ({ attempt }) => ({ authorization: `token ${attempt}` }),
  lastEventId: options.last_event_id,
  stopOn: options.stop_on,
  reconnect: options.words ? undefined : { delay: 0.05 },
  onGap: ({ reason }) => say('gap', { reason }),
})
source.onopen = () => say('open', { status: source.response.status })
source.onerror = ({ status }) => say('error', { status: status ?? null })
if (options.async) {
  try {
    for await (const event of source) say('event', event)
  } catch {
    // `closed` has it, too.
  }
} else {
  for (const type of ['message', 'posted', 'farewell']) {
    source.addEventListener(type, ({ data, lastEventId: id }) => say('event', { event: type, data, id }))
  }
}
const failed = (await source.closed) !== undefined
say('end', { finished: source.finished, failed, last_event_id: source.lastEventId })
