interface Part {
  stop(): Promise<void>
}

/** One run of a demo: what it says, and what is ended with it, however it ends. */
export class Run {
  /** Nothing on standard output but JSON lines. */
  readonly json: boolean
  readonly #began = performance.now()
  readonly #parts: Part[] = []
  #status = 1
  #ending: Promise<never> | undefined

  constructor(json: boolean) {
    this.json = json
  }

  seconds(): number {
    return Math.round((performance.now() - this.#began) / 1000)
  }

  readonly progress = (what: string): void => {
    process.stderr.write(`${String(this.seconds()).padStart(3)} s  ${what}\n`)
  }

  print(line: string): void {
    process.stdout.write(`${line}\n`)
  }

  /** Ends the part with the run. What has not come up by then ends with this process. */
  async keep<T extends Part | undefined>(starting: T | Promise<T>): Promise<T> {
    const part = await starting
    if (part) {
      this.#parts.push(part)
    }
    return part
  }

  /** Says what it has come to: a table, or its lines as JSON. Exit status 0 from here on, if it is as it must be. */
  tell(story: readonly object[], held: boolean, heading: string, table: string): void {
    this.#status = held ? 0 : 1
    const verdict = held ? 'All of it is as it must be.' : 'NOT all of it is as it must be.'
    this.print(
      this.json ? JSON.stringify({ story, held, seconds: this.seconds() }) : `\n${heading}\n\n${table}\n\n${verdict}\n`,
    )
  }

  /** Ends this process, with the status of what was told. */
  end(): Promise<never> {
    this.#ending ??= this.#end()
    return this.#ending
  }

  async fail(cause: unknown): Promise<void> {
    // Ctrl-C reaches what is run to its end here as well, which may fail before it is heard of.
    await new Promise((resolve) => setImmediate(resolve))
    if (!this.#ending) {
      const what = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
      process.stderr.write(`The demo failed: ${what}\n`)
      this.#status = 1
      await this.end()
    }
  }

  async #end(): Promise<never> {
    // The last first: they use those before them.
    for (const part of this.#parts.toReversed()) {
      await part.stop()
    }
    process.exit(this.#status)
  }
}
