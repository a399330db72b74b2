// What is on the wire: events of streams that EventSource cannot open (the chat's POST), and the data of all.

/**
 * A parser for the text of an event stream, as the HTML standard says it: lines end with CR, LF or CRLF (a CRLF may be
 * split over two chunks), several `data` lines are joined with LF, a comment begins with a colon, an event without data
 * is not dispatched, and an event that the stream ends in the middle of is dropped.
 * Give it decoded text (TextDecoderStream joins split characters and takes a leading BOM off).
 */
export function createParser(onEvent) {
  let rest = ''           // the line that has begun
  let skipLF = false      // the last chunk ended with CR: an LF now belongs to it
  let data = null
  let type = ''
  let lastEventId = ''

  function line(text) {
    if (text === '') {
      if (data !== null) onEvent({ type: type || 'message', data, lastEventId })
      data = null
      type = ''
      return
    }
    const colon = text.indexOf(':')
    if (colon === 0) return
    const field = colon < 0 ? text : text.slice(0, colon)
    let value = colon < 0 ? '' : text.slice(colon + 1)
    if (value.startsWith(' ')) value = value.slice(1)
    if (field === 'data') data = data === null ? value : `${data}\n${value}`
    else if (field === 'event') type = value
    else if (field === 'id' && !value.includes('\0')) lastEventId = value
    // `retry` is for clients that reconnect by themselves; this one does not.
  }

  return {
    feed(text) {
      if (text === '') return
      if (skipLF && text[0] === '\n') text = text.slice(1)
      skipLF = text === '' ? false : text.endsWith('\r')
      const lines = text.split(/\r\n|\r|\n/)
      lines[0] = rest + lines[0]
      rest = lines.pop()
      for (const each of lines) line(each)
    },
  }
}

/** The data of an event as an object; anything else (a stream that is not ours) is null, not an exception. */
export function parseData(text) {
  try {
    const value = JSON.parse(text)
    return value !== null && typeof value === 'object' ? value : null
  } catch {
    return null
  }
}
