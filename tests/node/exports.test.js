// The declarations and the modules agree: what is exported, and the members of classes.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import * as index from 'ssehub'
import * as express from 'ssehub/express'
import * as fastify from 'ssehub/fastify'
import * as testing from 'ssehub/testing'
import * as web from 'ssehub/web'

const read = name => readFileSync(new URL(`../../bindings-node/${name}.d.ts`, import.meta.url), 'utf8')
// What one file takes over from others is its own.
const declaration = name => read(name).replaceAll(/^export \* from '\.\/(\w+)\.js'$/gm, (_line, other) => read(other))

for (const [name, module] of Object.entries({ index, express, fastify, testing, web })) {
  test(`${name}: values`, () => {
    const text = declaration(name)
    const pattern = /^export (?:(?:declare )?(?:function|class|const) (\w+)|(default))/gm
    const declared = [...text.matchAll(pattern)].map(([, found, byDefault]) => found ?? byDefault)
    assert.deepEqual([...new Set(declared)].sort(), Object.keys(module).sort())
  })
}

test('classes: members', () => {
  const text = declaration('index')
  for (const name of ['Parser', 'Hub', 'Subscription', 'EventSource']) {
    const body = text.slice(text.search(new RegExp(`export class ${name}\\b`)))
    const lines = body.slice(0, body.indexOf('\n}\n')).split('\n')
    const declared = lines
      .map(line => /^ {2}(?:static |get |set |readonly )*(\w+|\[Symbol\.\w+\])[(<:]/.exec(line)?.[1])
      .filter(member => member !== undefined && member !== 'constructor' && !isInherited(index[name], member))
    const own = [...Object.getOwnPropertyNames(index[name].prototype), ...Object.getOwnPropertyNames(index[name])]
    const symbols = ['asyncIterator', 'asyncDispose', 'dispose']
      .filter(symbol => Object.hasOwn(index[name].prototype, Symbol[symbol]))
      .map(symbol => `[Symbol.${symbol}]`)
    const members = [...own, ...symbols].filter(
      member => !['constructor', 'length', 'name', 'prototype'].includes(member) || (name === 'Hub' && member === 'name'),
    )
    assert.deepEqual([...new Set(declared)].sort(), [...new Set(members)].sort(), name)
  }
})

test('errors: one root, codes, names', () => {
  for (const [name, code] of [
    ['EventTooLargeError', 'ERR_SSEHUB_EVENT_TOO_LARGE'],
    ['LimitError', 'ERR_SSEHUB_LIMIT'],
    ['DrainingError', 'ERR_SSEHUB_DRAINING'],
    ['ClosedError', 'ERR_SSEHUB_CLOSED'],
    ['LaggedError', 'ERR_SSEHUB_LAGGED'],
    ['HandoffError', 'ERR_SSEHUB_HANDOFF'],
  ]) {
    const error = new index[name]('text', { cause: 7 })
    assert.ok(error instanceof index.SSEHubError && error instanceof Error)
    assert.deepEqual([error.code, error.name, error.message, error.cause, index[name].name], [code, name, 'text', 7, name])
  }
})

// Declared anew for its types only.
const isInherited = ({ prototype }, member) => member in prototype && !Object.hasOwn(prototype, member)
