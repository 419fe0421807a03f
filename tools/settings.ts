/**
 * Prints every setting from the schema in `src/config.ts`: the table in README.md, between its markers, and
 * `.env.example`. With `--check` nothing is written, and what is stale is an error.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { commandLine } from '../src/command-line.ts'
import { settingsSchema } from '../src/config.ts'

export type Setting = {
  readonly name: string
  readonly required: boolean
  /** As text for the environment; undefined where there is none. */
  readonly default: string | undefined
  readonly about: string
}

const markers = ['<!-- settings -->', '<!-- /settings -->'] as const

export function settingsOf(schema: z.ZodObject): readonly Setting[] {
  return Object.entries(schema.shape).map(([name, field]) => ({
    name,
    required: !field.safeParse(undefined).success,
    default: field instanceof z.ZodDefault ? portable(String(field.def.defaultValue)) : undefined,
    about: field.description ?? '',
  }))
}

/** Defaults that this computer and process have given their names to. */
const portable = (value: string): string =>
  value.replace(hostname(), '<computer>').replace(String(process.pid), '<process>')

export function table(settings: readonly Setting[]): string {
  const rows = settings.map(({ name, required, default: value, about }) => {
    const without = required ? '**required**' : value === undefined || value === '' ? '–' : `\`${value}\``
    return `| \`${name}\` | ${without} | ${about.replaceAll('|', '\\|')} |`
  })
  return ['| setting | default | what it is for |', '| --- | --- | --- |', ...rows].join('\n')
}

const exampleHeader = [
  '# Every setting, as src/config.ts has it. Copy it to .env, and fill in what has no # before it. `npm start` and',
  '# `npm run bellows` read it; what the environment has goes before it. A value with a # in it needs quotes.',
].join('\n')

export function example(settings: readonly Setting[]): string {
  const entries = settings.map(({ name, required, default: value = '', about }) => {
    const comment = about ? `# ${about}\n` : ''
    return `${comment}${required ? '' : '#'}${name}=${value}\n`
  })
  return `${exampleHeader}\n\n${entries.join('\n')}`
}

/** The text between the markers replaced; an error where they aren't there. */
export function withTable(readme: string, text: string): string {
  const [start, end] = markers.map((marker) => readme.indexOf(marker))
  if (start === undefined || end === undefined || start < 0 || end < start) {
    throw new Error(`README.md has no ${markers.join(' … ')} to put the settings between`)
  }
  return `${readme.slice(0, start)}${markers[0]}\n\n${text}\n\n${readme.slice(end)}`
}

/** Writes what is stale, unless it is only to be checked, and returns the names of these files. */
export function updateSettings(root: string, check: boolean): readonly string[] {
  const settings = settingsOf(settingsSchema)
  const readme = join(root, 'README.md')
  const wanted = [
    { file: join(root, '.env.example'), text: example(settings) },
    ...(existsSync(readme)
      ? [{ file: readme, text: withTable(readFileSync(readme, 'utf8'), table(settings)) }]
      : []),
  ]
  const stale = wanted.filter(({ file, text }) => !existsSync(file) || readFileSync(file, 'utf8') !== text)
  if (!check) for (const { file, text } of stale) writeFileSync(file, text)
  return stale.map(({ file }) => file.slice(root.length + 1))
}

if (import.meta.main) {
  const { check = false } = commandLine(
    'npm run settings --',
    'Print every setting into README.md and .env.example.',
  )
    .option('--check', 'write nothing; fail where one of them is stale')
    .parse()
    .opts<{ check?: boolean }>()
  const stale = updateSettings(join(import.meta.dirname, '..'), check)
  if (stale.length > 0)
    console.log(check ? `${stale.join(', ')}: run \`npm run settings\`` : `${stale.join(', ')}: written`)
  if (check && stale.length > 0) process.exitCode = 1
}
