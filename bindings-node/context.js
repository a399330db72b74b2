// What the maker of a source is given beside the request.

export class Context {
  // Made for those who look at the signal.
  #controller = undefined
  #aborted = false
  // Called before the signal is made, where the stream's end would not be told here otherwise.
  #wake = undefined

  get signal() {
    if (this.#controller === undefined) {
      this.#wake?.()
      this.#controller = new AbortController()
      if (this.#aborted) this.#controller.abort()
    }
    return this.#controller.signal
  }

  /** Whether nobody has looked at the signal. Then it need not be aborted, unless `wake` is called. */
  static rest(context, wake) {
    if (context.#controller !== undefined) return false
    context.#wake = wake
    return true
  }

  /** Not a method: who is given a context is not to abort it. */
  static abort(context) {
    context.#aborted = true
    context.#controller?.abort()
  }
}
