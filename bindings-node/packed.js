// Events that the engine hands over together: one string, or two, cut up here. See packed.rs.

// The flags of a record.
const WIDE_DATA = 1
const HAS_TYPE = 2
const WIDE_TYPE = 4
const HAS_ID = 8
const WIDE_ID = 16

/** Cuts up what one stream brings. */
export class Unpacker {
  // The id of the newest event: the engine sends an id only when it changes.
  #id = ''

  unpack(packed) {
    if (packed === null) return []
    return typeof packed === 'string' ? this.#cut(packed, '') : this.#cut(packed[0], packed[1])
  }

  #cut(narrow, wide) {
    const events = []
    const end = narrow.length - 4
    let at =
      narrow.charCodeAt(end) |
      (narrow.charCodeAt(end + 1) << 8) |
      (narrow.charCodeAt(end + 2) << 16) |
      (narrow.charCodeAt(end + 3) << 24)
    let id = this.#id
    let n = 0
    let w = 0
    // Reads a length, seven bits a character. Written out: a call per length would be felt.
    while (at < end) {
      const flags = narrow.charCodeAt(at++)
      let byte = narrow.charCodeAt(at++)
      let length = byte & 0x7f
      for (let shift = 7; byte >= 0x80; shift += 7) {
        byte = narrow.charCodeAt(at++)
        length |= (byte & 0x7f) << shift
      }
      let data
      if (flags & WIDE_DATA) data = wide.slice(w, (w += length))
      else data = narrow.slice(n, (n += length))
      let event = 'message'
      if (flags > WIDE_DATA) {
        if (flags & HAS_TYPE) {
          byte = narrow.charCodeAt(at++)
          length = byte & 0x7f
          for (let shift = 7; byte >= 0x80; shift += 7) {
            byte = narrow.charCodeAt(at++)
            length |= (byte & 0x7f) << shift
          }
          if (flags & WIDE_TYPE) event = wide.slice(w, (w += length))
          else event = narrow.slice(n, (n += length))
        }
        if (flags & HAS_ID) {
          byte = narrow.charCodeAt(at++)
          length = byte & 0x7f
          for (let shift = 7; byte >= 0x80; shift += 7) {
            byte = narrow.charCodeAt(at++)
            length |= (byte & 0x7f) << shift
          }
          if (flags & WIDE_ID) id = wide.slice(w, (w += length))
          else id = narrow.slice(n, (n += length))
        }
      }
      events.push({ event, data, id })
    }
    this.#id = id
    return events
  }
}
