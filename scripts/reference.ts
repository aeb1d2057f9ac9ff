import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { z } from 'zod'
import { apiRoutes, type ApiPorts } from '../relay/api/app.ts'
import { DOCUMENT } from '../relay/api/described.ts'
import { countAmiss, countOpen, makeMetrics } from '../relay/telemetry/metrics.ts'
import { HOLES } from '../relay/idp/keycloak/audit/known-holes.ts'
import { EXIT_STATUSES, program } from '../relay/cli.ts'
import { Schema } from '../relay/config/config.ts'
import { SecurityFeedLine } from '../relay/security-feed/line.ts'

const DOCS = join(import.meta.dirname, '..', 'docs')

/** What is generated into a document, between `<!-- generated: NAME -->` and `<!-- end -->`. */
const BLOCKS: Readonly<Record<string, () => string | Promise<string>>> = {
  configuration: () => table(['field', 'default', ''], fields(z.toJSONSchema(Schema, { io: 'input' }) as JsonSchema)),
  metrics,
  routes,
  commands: () => leaves(program).map(help).join('\n\n'),
  'exit statuses': () => table(['status', ''], EXIT_STATUSES),
  holes: () => table(['hole', 'what it lets live, or who it lets in', 'mended in'], HOLES.map(hole)),
}

/** Whole files that are generated. */
const FILES: Readonly<Record<string, () => string>> = {
  'security-feed.schema.json': () => `${JSON.stringify(z.toJSONSchema(SecurityFeedLine), null, 2)}\n`,
}

/** Every document with a generated part as it must be, by its path. */
export async function references(): Promise<Map<string, string>> {
  const all = new Map(Object.entries(FILES).map(([file, make]) => [join(DOCS, file), make()]))
  for (const file of readdirSync(DOCS).filter((name) => name.endsWith('.md'))) {
    let text = readFileSync(join(DOCS, file), 'utf8')
    for (const [, name = ''] of text.matchAll(/<!-- generated: ([\w ]+) -->/g)) {
      const block = BLOCKS[name]
      if (!block) {
        throw new Error(
          `docs/${file} asks for "${name}", which is not generated; there are ${Object.keys(BLOCKS).join(', ')}`,
        )
      }
      const made = `<!-- generated: ${name} -->\n\n${await block()}\n\n<!-- end -->`
      text = text.replace(new RegExp(`<!-- generated: ${name} -->[^]*?<!-- end -->`), () => made)
      all.set(join(DOCS, file), text)
    }
  }
  return all
}

function table(head: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const line = (cells: readonly unknown[]) =>
    `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly items?: JsonSchema
  readonly required?: readonly string[]
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly minimum?: number
  readonly maximum?: number
}

/** The leaves of a schema, each with its path; one that may be left out without a default has an empty one. */
function fields(schema: JsonSchema, path = '', must = 'required'): (readonly string[])[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const at = `${path}${name}`
    const isThere = field.default !== undefined || schema.required?.includes(name) === true
    const mustBelow = isThere ? must : `required in \`${name}\``
    if (field.properties) {
      return fields(field, `${at}.`, mustBelow)
    }
    if (field.items?.properties) {
      return fields(field.items, `${at}[].`, mustBelow)
    }
    const value = field.default ?? (schema.default as Readonly<Record<string, unknown>> | undefined)?.[name]
    const shown = value === undefined ? '' : `\`${JSON.stringify(value).replaceAll('"', '')}\``
    const { minimum: least, maximum: most, enum: words } = field
    const range = words
      ? `one of ${words.map((word) => `\`${String(word)}\``).join(', ')}`
      : most === undefined
        ? ''
        : `${least ?? 0} to ${most}`
    const says = [field.description, range].filter(Boolean).join('; ')
    return [[`\`${at}\``, shown !== '' || schema.required?.includes(name) !== true ? shown : must, says]]
  })
}

async function metrics(): Promise<string> {
  const metrics = makeMetrics()
  countOpen(metrics, { open: () => Promise.resolve([]) })
  countAmiss(metrics, { unreachable: () => Promise.resolve([]) }, { all: () => [] }, () => 0)
  const { registry } = metrics
  const rows = (await registry.getMetricsAsJSON()).map(({ name, help: says, type }) => {
    const { labelNames } = registry.getSingleMetric(name) as unknown as { labelNames: readonly string[] }
    return [`\`${name}\``, String(type), labelNames.map((label) => `\`${label}\``).join(', '), says]
  })
  return table(['metric', 'type', 'labels', ''], rows)
}

/** From the description that the relay serves; describing takes none of what answering takes. */
function routes(): string {
  const { paths } = apiRoutes({} as ApiPorts).getOpenAPI31Document(DOCUMENT)
  const rows = Object.entries(paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods as Readonly<Record<string, Operation>>).map(([method, { summary, responses }]) => [
      `\`${method.toUpperCase()} ${path}\``,
      summary,
      Object.keys(responses).join(', '),
    ]),
  )
  return table(
    ['route', '', 'answers'],
    rows.sort(([a = ''], [b = '']) => (a < b ? -1 : 1)),
  )
}

function hole({ id, issue, lives, mended, since }: (typeof HOLES)[number]): string[] {
  const releases = Object.entries(mended).map(([line, patch]) => `${line}.${patch}`)
  const from = since === undefined ? '' : `; from ${since}.0 on`
  return [`[${id}](https://github.com/keycloak/keycloak/issues/${issue})`, lives + from, releases.join(', ')]
}

interface Operation {
  readonly summary: string
  readonly responses: object
}

function leaves(command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leaves)
}

function help(command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: (part) => (text += part), getOutHelpWidth: () => 100 }).outputHelp()
  const names = [command.name()]
  for (let above = command.parent; above?.parent; above = above.parent) {
    names.unshift(above.name())
  }
  return `### ${names.join(' ')}\n\n\`\`\`\n${text.trim()}\n\`\`\``
}

if (import.meta.main) {
  for (const [file, text] of await references()) {
    writeFileSync(file, text)
  }
}
