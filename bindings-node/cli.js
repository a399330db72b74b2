#!/usr/bin/env node
// The command line: `npx ssehub tail URL`, `npx ssehub doctor URL`. Blocks this thread, which has nothing else to do:
// Ctrl-C ends the process by itself, as long as JavaScript has no handler for it.
import { runCli } from './native.js'

process.exitCode = runCli(process.argv.slice(2))
