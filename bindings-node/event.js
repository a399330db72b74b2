// Events on their way out: what the publisher says.
import * as native from './native.js'
import { checkText, describe, toText } from './data.js'
import { fromNative, invalid, outOfRange } from './errors.js'

// Known by a mark and not by `instanceof`: bundlers may evaluate this module twice.
const EVENT = Symbol.for('ssehub.event')

/** One event: checked once, then frozen. Its data is text. */
class Event {
  constructor(fields) {
    this.data = fields.data
    this.event = fields.event
    this.id = fields.id
    this.retry = fields.retry
    this.comment = fields.comment
    Object.freeze(this)
  }

  get [EVENT]() {
    return true
  }
}

export const isEvent = value => typeof value === 'object' && value !== null && value[EVENT] === true

/** An event of these fields. */
export function event(fields) {
  if (isEvent(fields)) return fields
  const checked = readFields(fields)
  try {
    native.check(checked.data, checked.event, checked.id, checked.retry, checked.comment)
  } catch (error) {
    throw fromNative(error)
  }
  return new Event(checked)
}

/** The bytes on the wire of an event, or of the fields of one. */
export function encode(fields) {
  const { data, event: type, id, retry, comment } = isEvent(fields) ? fields : readFields(fields)
  try {
    const wire = native.encode(data, type, id, retry, comment)
    return typeof wire === 'string' ? Buffer.from(wire, 'latin1') : wire
  } catch (error) {
    throw fromNative(error)
  }
}

/** An event of whatever an iterable or a snapshot gives. */
export const toEvent = (value, stringify) =>
  isEvent(value) ? value : new Event({ data: toText(value, stringify) })

const FIELDS = new Set(['data', 'event', 'id', 'retry', 'comment'])

function readFields(fields) {
  if (typeof fields !== 'object' || fields === null) {
    throw invalid(`an event is an object of data, event, id, retry and comment, not ${describe(fields)}`)
  }
  for (const name in fields) {
    if (!FIELDS.has(name)) {
      throw invalid(`an event has no field ${JSON.stringify(name)}: data, event, id, retry and comment are known`)
    }
  }
  return {
    // Absent data is no data; data that is there and undefined is a mistake.
    data: 'data' in fields ? toText(fields.data) : undefined,
    event: readText(fields.event, 'event'),
    id: readText(fields.id, 'id'),
    retry: readRetry(fields.retry),
    comment: readText(fields.comment, 'comment'),
  }
}

/** A text or nothing. */
export function readText(value, name) {
  if (value == null) return undefined
  if (typeof value !== 'string') throw invalid(`${name} is text, not ${describe(value)}`)
  return checkText(value, name)
}

/** A reconnection time or nothing. */
export function readRetry(value) {
  if (value == null) return undefined
  if (typeof value !== 'number') {
    throw invalid(`retry is a number of milliseconds, not ${describe(value)}`)
  }
  if (!Number.isSafeInteger(value) || value < 0) {
    throw outOfRange(`retry is a whole number of milliseconds from 0 to ${Number.MAX_SAFE_INTEGER}`)
  }
  return value
}
