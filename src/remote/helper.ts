/**
 * The worker's side of the helper that runs on the machine (`machine/`, Python): puts it there once,
 * gives it a job and checks each line that it answers, as everything from there is untrusted text.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { pack } from 'tar-stream'
import { z } from 'zod'
import { Failure, reasons } from '../failure.ts'
import { printable } from '../text.ts'
import { folderExists, installFolder, runHelper } from './argv.ts'
import { type MachineEvent, machineEventSources } from './host.ts'
import { tailOf } from './lines.ts'
import { ConnectionLost, type Ssh } from './ssh.ts'

/** See `machine/__main__.py` for the operations and their fields. */
export type HelperJob = { readonly operation: string; readonly [field: string]: unknown }

const text = z.string().transform(printable)
const count = z.number().nonnegative()

const noticeSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('spot'), action: text, at: z.coerce.date() }),
  z.object({ kind: z.literal('gpu'), utilisationPercent: count, memoryUsedMb: count }),
  z.object({ kind: z.literal('xid'), code: z.int(), line: text }),
  z.object({ kind: z.literal('disk'), freeBytes: count }),
  z.object({ kind: z.literal('unreadable'), source: z.enum(machineEventSources), detail: text }),
]) satisfies z.ZodType<MachineEvent>

const eventSchema = z.discriminatedUnion('event', [
  z.object({ event: z.literal('progress'), bytes: count, totalBytes: count }),
  z.object({ event: z.literal('content'), start: count, base64: z.base64() }),
  z.object({ event: z.literal('file'), path: text, size: count, sha256: z.hex().length(64) }),
  z.object({ event: z.literal('spoilt'), path: text }),
  z.object({ event: z.literal('part'), index: z.int().nonnegative(), etag: text }),
  z.object({ event: z.literal('notice'), notice: noticeSchema }),
])

const endSchema = z.discriminatedUnion('event', [
  z.object({
    event: z.literal('done'),
    found: z.boolean().optional(),
    size: count.optional(),
    sha256: z.hex().length(64).optional(),
  }),
  z.object({ event: z.literal('failed'), reason: z.enum(reasons).catch('internal'), detail: text }),
])

export type HelperEvent = z.infer<typeof eventSchema>
export type HelperDone = Extract<z.infer<typeof endSchema>, { event: 'done' }>

/** Puts the helper on the machine unless it has this very version. */
export const installHelper = async (ssh: Ssh, signal: AbortSignal): Promise<void> => {
  const there = await ssh.run(folderExists(folder), { signal, limitMs: 30_000 })
  if (there.exitCode === 0) return
  const done = await ssh.run(installFolder(folder), { input: await archive(), signal, limitMs: 60_000 })
  if (done.exitCode !== 0)
    throw new Failure('machine-broken', `the helper cannot be installed: ${done.stderr}`)
}

/** Runs one job. ConnectionLost if the connection breaks; the helper stops by itself then. */
export const callHelper = async (
  ssh: Ssh,
  job: HelperJob,
  onEvent: (event: HelperEvent) => void,
  signal: AbortSignal,
): Promise<HelperDone> => {
  let end: z.infer<typeof endSchema> | undefined
  const stderr = tailOf(40)
  const onLine = (line: string, from: 'stdout' | 'stderr') => {
    const message = from === 'stdout' ? parse(line) : undefined
    const event = eventSchema.safeParse(message)
    if (event.success) onEvent(event.data)
    else if (endSchema.safeParse(message).success) end = endSchema.parse(message)
    else stderr.add(line)
  }
  const input = `${JSON.stringify({ root: '/job', ...job })}\n`
  const exit = await ssh.follow(runHelper(folder), onLine, { input, holdInput: true, signal })
  if (end?.event === 'done') return end
  if (end) throw new Failure(end.reason, end.detail)
  // A helper that got no word out saw its stdin end: the connection is going.
  if (exit.exitCode === 1 && stderr.lines.length === 0) throw new ConnectionLost('the helper was left alone')
  const status = exit.signal ?? `exit status ${exit.exitCode}`
  throw new Failure('internal', `the helper ended its ${job.operation} with ${status} and no answer`, {
    evidence: stderr.lines.join('\n'),
  })
}

const parse = (line: string): unknown => {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

const source = new URL('./machine/', import.meta.url)
const files = readdirSync(source)
  .filter((name) => name.endsWith('.py'))
  .sort()
  .map((name) => ({ name, content: readFileSync(new URL(name, source)) }))

/** Below the login user's home; named by what it holds, so that a newer worker brings its own. */
const folder = `.bellows/${files
  .reduce((hash, file) => hash.update(file.name).update(file.content), createHash('sha256'))
  .digest('hex')
  .slice(0, 16)}`

const archive = async (): Promise<Buffer> => {
  const tar = pack()
  for (const { name, content } of files) tar.entry({ name, mode: 0o644 }, content)
  tar.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of tar) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
