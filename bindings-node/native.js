// The addon. `native.cjs` is generated: it finds the file for this platform.
import native from './native.cjs'

export const {
  Hub,
  Reports,
  Selector,
  Sources,
  Subscription,
  check,
  encode,
  panicForTest,
  parserFeed,
  parserLastEventId,
  parserNew,
  parserRetry,
  parserTake,
  runCli,
  sourceAnswerFailed,
  sourceAnswerHeaders,
  sourceAnswerRedirect,
  sourceClose,
  sourceLastEventId,
  sourceRestart,
  sourceTake,
  takesSockets,
  version,
} = native
