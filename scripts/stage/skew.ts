import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, renameSync, statSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ROOT } from './process.ts'
import { temporary } from './temporary.ts'

const SOURCE = join(ROOT, 'scripts', 'stage', 'skew.c')
const LIBRARY = join(ROOT, '.cache', 'skew.so')

export interface Clock {
  /** For a program that goes by this clock. */
  readonly env: Record<string, string>
  /** How wrong it is from now on. */
  readonly shift: (seconds: number) => void
}

/** A clock that can be made wrong while programs go by it. libfaketime would make a JVM too slow to start. */
export function makeClock(): Clock {
  const file = join(temporary('clock'), 'shift')
  const shift = (seconds: number) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(BigInt(seconds))
    // In place: the programs have mapped this very file.
    const open = openSync(file, existsSync(file) ? 'r+' : 'w')
    writeSync(open, bytes, 0, bytes.length, 0)
    closeSync(open)
  }
  shift(0)
  return { env: { LD_PRELOAD: library(), CLOCK_SHIFT: file }, shift }
}

function library(): string {
  if (!existsSync(LIBRARY) || statSync(LIBRARY).mtimeMs < statSync(SOURCE).mtimeMs) {
    mkdirSync(dirname(LIBRARY), { recursive: true })
    // Somebody else may be building or loading the same at this moment.
    const built = `${LIBRARY}.${process.pid}`
    execFileSync('cc', ['-shared', '-fPIC', '-O2', '-Wall', '-Wextra', '-o', built, SOURCE, '-ldl'])
    renameSync(built, LIBRARY)
  }
  return LIBRARY
}
