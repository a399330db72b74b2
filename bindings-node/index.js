// What `import 'ssehub'` gives.
export {
  ClosedError,
  DrainingError,
  EventTooLargeError,
  HandoffError,
  LaggedError,
  LimitError,
  SSEHubError,
} from './errors.js'
export { encode, event } from './event.js'
export { EventSourceStream, events } from './events.js'
export { EventSource } from './eventsource.js'
export { EventSourceError } from './eventsource-errors.js'
export { ErrorEvent } from './eventsource-events.js'
export { Hub } from './hub.js'
export { Parser } from './parser.js'
export { Subscription, pattern } from './subscription.js'
export { version } from './native.js'
