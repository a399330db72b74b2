// The code under each section, in the language of the server behind the page.

import { element } from './common.js'

const snippets = {
  Python: {
    ticker: () => `
hub.publish("ticker", {"symbol": "SSE", "price": p, "at": now},
            event="price")

@app.get("/events/ticker", response_class=EventSourceResponse)
async def ticker():
    return EventSourceResponse(
        hub.subscribe("ticker", last_event_id="earliest"))`,
    feed: count => `
hub = Hub(topics={"notifications": History(count=${count})})

@app.post("/notifications", status_code=202)
def post(item: Notification):
    hub.publish("notifications", item,
                event="notification")`,
    chat: () => `
@app.post("/chat", response_class=EventSourceResponse)
async def chat(q: Prompt):
    return EventSourceResponse(tokens(q))   # any iterable`,
    stats: () => `
async def report():
    while True:
        hub.publish("stats", hub.stats(), event="stats")
        await asyncio.sleep(1)`,
  },
  Node: {
    ticker: () => `
hub.publish('ticker', { symbol: 'SSE', price, at: Date.now() },
            { event: 'price' })

app.get('/events/ticker', sse(() => {
  return hub.subscribe('ticker', { lastEventId: 'earliest' })
}))`,
    feed: count => `
const topics = { notifications: { count: ${count} } }
const hub = new Hub({ topics })

app.post('/notifications', (req, res) => {
  hub.publish('notifications', req.body,
              { event: 'notification' })
  res.sendStatus(202)
})`,
    chat: () => `
app.post('/chat', sse(async function* (req, res, { signal }) {
  yield* tokens(req.body.prompt, { signal })   // any iterable
}))`,
    stats: () => `
setInterval(() => {
  hub.publish('stats', hub.stats(), { event: 'stats' })
}, 1000)`,
  },
}

/** Strings, comments and a few words get a class; enough for snippets of five lines. */
function highlight(node, code) {
  const pattern = /(?<note>#.*|\/\/.*)|(?<string>"[^"]*"|'[^']*')|(?<hub>\bhub\.\w+)|(?<word>@[\w.]+|\b(?:async|await|const|def|function|new|return|while|yield)\b\*?|\bTrue\b)/g
  const parts = []
  let last = 0
  for (const match of code.matchAll(pattern)) {
    const kind = Object.keys(match.groups).find(name => match.groups[name] !== undefined)
    parts.push(code.slice(last, match.index), element('span', `tok-${kind}`, match[0]))
    last = match.index + match[0].length
  }
  const inner = element('code')
  inner.append(...parts, code.slice(last))
  node.replaceChildren(inner)
}

export function showSnippets(language, historyCount) {
  for (const node of document.querySelectorAll('[data-snippet]')) {
    const name = node.dataset.snippet
    highlight(node, snippets[language][name](historyCount ?? 20).trim())
    node.tabIndex = 0                                        // it may scroll sideways
    node.setAttribute('role', 'region')
    node.setAttribute('aria-label', `${language} code of this section`)
  }
}

/** Room for the longer of the two languages, before it is known which one it will be. */
export function reserveSnippets() {
  for (const node of document.querySelectorAll('[data-snippet]')) {
    const lines = Object.values(snippets).map(set => set[node.dataset.snippet](20).trim().split('\n').length)
    node.style.setProperty('--lines', Math.max(...lines))
  }
}
