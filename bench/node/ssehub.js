// ssehub from this repository, by its own name: the package refers to itself from its root,
// so nothing has to be installed or linked here.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const manifest = new URL('../../package.json', import.meta.url)
const require = createRequire(manifest)

/** Loads `ssehub`, or `ssehub/express` and so on. */
export const load = (subpath = '') => require(`ssehub${subpath}`)

export const version = () => JSON.parse(readFileSync(manifest, 'utf8')).version
