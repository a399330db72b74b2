// What `for await` over an EventSource holds.

/** All loops over one source share its events. */
export class Loop {
  #next
  #close

  constructor(next, close) {
    this.#next = next
    this.#close = close
  }

  next() {
    return this.#next()
  }

  /** Leaving a loop closes the source. */
  async return(value) {
    this.#close()
    return { value, done: true }
  }

  [Symbol.asyncIterator]() {
    return this
  }

  async [Symbol.asyncDispose]() {
    this.#close()
  }
}

/** A promise, and what settles it. */
export function resolvers() {
  const made = {}
  made.promise = new Promise((resolve, reject) => {
    made.resolve = resolve
    made.reject = reject
  })
  return made
}
