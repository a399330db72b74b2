// Uses everything, ends nothing, and must end.
import { Hub, events } from 'ssehub'

const hub = new Hub()
Hub.get('named').publish('t', 1)
hub.on('open', () => {})
const iterator = hub.subscribe('t')[Symbol.asyncIterator]()
hub.publish('t', 1)
await iterator.next()
void iterator.next()
void hub.subscribe('t', 'u')[Symbol.asyncIterator]().next()
await events(new Response('data: x\n\n')).next()
console.log('finished')
