#!/usr/bin/env node
import { readFileSync } from 'node:fs'

// What the published package starts. An older Node has no `node:sqlite`, and would say so as a stack trace: nothing else is
// loaded before that is known.
const { engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  engines: { node: string }
}
const numbers = (version: string) => version.replace(/^\D+/, '').split('.').map(Number)
const [major = 0, minor = 0] = numbers(process.versions.node)
const [leastMajor = 0, leastMinor = 0] = numbers(engines.node)

if (major < leastMajor || (major === leastMajor && minor < leastMinor)) {
  process.stderr.write(
    `logout-relay: needs Node ${leastMajor}.${leastMinor} or newer, and this is ${process.versions.node}; docs/install.md of this package says how to bring one along\n`,
  )
  process.exitCode = 78
} else {
  const { main } = await import('./cli.ts')
  await main()
}
