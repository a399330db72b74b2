// What the maker of a source is given beside the request.

export class Context {
  // Made for those who look at the signal.
  #controller = undefined
  #aborted = false

  get signal() {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#aborted) this.#controller.abort()
    }
    return this.#controller.signal
  }

  /** Not a method: who is given a context is not to abort it. */
  static abort(context) {
    context.#aborted = true
    context.#controller?.abort()
  }
}
