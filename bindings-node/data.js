// What is published: one rule for `publish`, `event`, `encode`, snapshots, and what iterables yield.
import { types } from 'node:util'

import { invalid } from './errors.js'

// A byte order mark inside a stream is text like any other.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The text of a data value: text as it is, bytes as UTF-8, everything else as JSON. */
export function toText(value, stringify = undefined) {
  if (typeof value === 'string') return checkText(value, 'data')
  if (value === undefined) {
    throw invalid('data is undefined: give text, bytes or something that has JSON, null for a JSON null')
  }
  if (types.isUint8Array(value)) return decode(value)
  if (stringify === undefined) return toJSON(value)
  const text = stringify(value)
  if (typeof text !== 'string') {
    throw invalid(`stringify returned ${describe(text)} instead of a string`)
  }
  return checkText(text, 'data')
}

/** The same string, once it is known to have a UTF-8 form. */
export function checkText(text, name) {
  if (!text.isWellFormed()) {
    throw invalid(`${name} has a lone surrogate, which UTF-8 cannot carry: clean it with toWellFormed()`)
  }
  return text
}

function decode(bytes) {
  try {
    return utf8.decode(bytes)
  } catch {
    throw invalid('data is a Uint8Array that is not UTF-8 text: encode binary data first, as base64 perhaps')
  }
}

function toJSON(value) {
  switch (typeof value) {
    case 'number':
      if (!Number.isFinite(value)) throw notFinite(value)
      return JSON.stringify(value)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'object':
      break
    default:
      throw invalid(`data is ${describe(value)}, which has no JSON: convert it first`)
  }
  if (value === null) return 'null'
  if (typeof value.then === 'function') {
    throw invalid('data is a promise, whose JSON would be {}: await it first')
  }
  if (types.isAnyArrayBuffer(value) || types.isDataView(value)) {
    throw invalid('data is a buffer, whose JSON would be {}: wrap it in a Uint8Array')
  }
  let text
  try {
    text = JSON.stringify(value)
  } catch (error) {
    // What toJSON throws is the caller's own.
    if (!(error instanceof TypeError)) throw error
    throw invalid(`data has no JSON: ${error.message}`)
  }
  if (text === undefined) throw invalid('data has no JSON: its toJSON() returned nothing')
  // JSON.stringify writes NaN and infinities as null, silently. Only a text with a null can hide one.
  if (text.includes('null')) JSON.stringify(value, rejectNonFinite)
  return text
}

function rejectNonFinite(_key, value) {
  const number = value instanceof Number ? value.valueOf() : value
  if (typeof number === 'number' && !Number.isFinite(number)) throw notFinite(number)
  return value
}

const notFinite = number =>
  invalid(`data contains ${number}, which JSON would turn into null: send null or text instead`)

/** A value in the words of an error message. */
export function describe(value) {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  switch (typeof value) {
    case 'undefined':
      return 'undefined'
    case 'object':
      return `an object (${value.constructor?.name ?? 'without a class'})`
    case 'bigint':
      return 'a BigInt'
    case 'symbol':
      return 'a symbol'
    case 'function':
      return 'a function'
    default:
      return `a ${typeof value}`
  }
}
