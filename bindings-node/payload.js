// Bytes to send, shared by all streams that send them.

/** The end of a body in HTTP/1.1's chunked coding. */
export const LAST_CHUNK = Buffer.from('0\r\n\r\n')

export class Payload {
  #chunk = undefined

  constructor(bytes) {
    this.bytes = bytes
  }

  /** The same as one chunk of HTTP/1.1's chunked coding: made once, however many streams send it. */
  get chunk() {
    return (this.#chunk ??= toChunk(this.bytes))
  }
}

function toChunk(bytes) {
  const size = `${bytes.length.toString(16)}\r\n`
  const chunk = Buffer.allocUnsafe(size.length + bytes.length + 2)
  chunk.latin1Write(size, 0)
  chunk.set(bytes, size.length)
  chunk[chunk.length - 2] = 13
  chunk[chunk.length - 1] = 10
  return chunk
}
