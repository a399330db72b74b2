// The parser: bytes to events.
import { types } from 'node:util'

import * as native from './native.js'
import { describe } from './data.js'
import { EventTooLargeError, fromNative, invalid } from './errors.js'
import { checkKnown, readCount } from './options.js'
import { Unpacker } from './packed.js'

const DEFAULT_MAX_EVENT_SIZE = 16 * 1024 * 1024

export class Parser {
  #native
  #unpacker = new Unpacker()

  constructor(options = {}) {
    checkKnown(options, ['maxEventSize'], 'Parser')
    this.#native = native.parserNew(
      readCount(options.maxEventSize, 'maxEventSize', 1) ?? DEFAULT_MAX_EVENT_SIZE,
    )
  }

  get lastEventId() {
    return native.parserLastEventId(this.#native)
  }

  get retry() {
    return native.parserRetry(this.#native)
  }

  feed(chunk) {
    if (!types.isUint8Array(chunk)) {
      throw invalid(`a chunk is a Uint8Array, not ${describe(chunk)}`)
    }
    let packed
    try {
      packed = native.parserFeed(this.#native, chunk)
    } catch (thrown) {
      const error = fromNative(thrown)
      if (error instanceof EventTooLargeError) error.events = this.#unpacker.unpack(native.parserTake(this.#native))
      throw error
    }
    return this.#unpacker.unpack(packed)
  }
}
