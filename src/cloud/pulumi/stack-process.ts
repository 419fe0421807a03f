/**
 * The child process of one stack operation: reads a request, runs it with Pulumi's Automation API,
 * answers and exits. It is a separate process because the engine's language runtime keeps state, memory and
 * temporary files in the process that it runs in (pulumi #20151, #20737, #8186, #12263).
 *
 * It leads a process group and a session (see process-session.ts). SIGINT goes to the whole group: the
 * engine cancels and reports, and this process waits for that report. When stdin ends, the worker is gone:
 * the operation is interrupted, so that the stack's lock does not outlive its holder's lease, and its folder,
 * the current one, is removed here.
 */
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import {
  CommandError,
  ConcurrentUpdateError,
  type EngineEvent,
  LocalWorkspace,
  PulumiCommand,
  Stack,
  StackAlreadyExistsError,
  StackNotFoundError,
} from '@pulumi/pulumi/automation/index.js'
import { killSession, signalGroup } from './process-session.ts'
import type { StackFault, StackLine, StackRequest } from './stack-messages.ts'
import { isUnreadable, stateFiles } from './state-files.ts'
import { systemErrorIn, systemErrorOf } from './system-error.ts'

/** From the interrupt to the kill, when no worker is left to decide. */
const orphanGraceMs = 10_000

process.on('SIGINT', () => {})

let orphaned = false
process.stdin.once('end', () => {
  orphaned = true
  endAfter(0)
})
process.on('exit', removeFolderIfOrphaned)
const lines = createInterface({ input: process.stdin })
const [first] = (await once(lines, 'line')) as [string]
const request = JSON.parse(first) as StackRequest
process.stdout.on('error', () => {}) // its reader is gone
endAfter(request.lastResortMs)

type Outputs = Record<string, unknown>
type Listed = { readonly name: string; readonly updatedAt?: string }

const diagnostics: string[] = []

/** The summary of an operation omits secrets: decrypting them takes as long as a small operation. */
const quietly = { onEvent, color: 'never', showSecrets: false } as const
try {
  say({ line: 'result', ...(await perform(request)) })
} catch (error) {
  say({ line: 'fault', fault: faultOf(error) })
  process.exitCode = 1
}
process.exit()

async function perform(request: StackRequest): Promise<Omit<StackLine & { line: 'result' }, 'line'>> {
  const workspace = await LocalWorkspace.create({
    workDir: process.cwd(),
    pulumiCommand: await PulumiCommand.get({ skipVersionCheck: true }),
    projectSettings: { name: request.project, runtime: 'nodejs', main: process.cwd() },
  })
  const { operation, stack: name } = request
  if (operation === 'list') return { stacks: await list(workspace, request.project) }
  if (operation === 'up') return up(workspace, request)
  if (operation === 'remove') {
    await workspace.removeStack(name)
    return {}
  }
  const stack = await Stack.select(name, workspace)
  if (operation === 'refresh') await stack.refresh({ ...quietly, clearPendingCreates: true })
  if (operation === 'cancel') await stack.cancel()
  if (operation === 'discard') {
    // The engine does not remove a stack whose state it can't read, even with force; but it overwrites it unread.
    await stack.importStack({ version: 3, deployment: {} })
    await workspace.removeStack(name, { force: true })
  }
  // EC2 drops the tags of ended resources, and the worker's permissions depend on them: delete only what still exists.
  if (operation === 'destroy') await stack.destroy({ ...quietly, refresh: true, remove: true })
  return operation === 'outputs' ? { outputs: plain(await stack.outputs()) } : {}
}

/** The engine lists nothing at all if it can't read one stack; the files still exist. */
async function list(workspace: LocalWorkspace, project: string): Promise<readonly Listed[]> {
  try {
    const stacks = await workspace.listStacks()
    return stacks.map((stack) => ({
      name: stack.name.split('/').at(-1) ?? stack.name,
      ...(stack.lastUpdate ? { updatedAt: stack.lastUpdate } : {}),
    }))
  } catch (error) {
    if (!isUnreadable(messageOf(error))) throw error
    const files = await stateFiles(process.env.PULUMI_BACKEND_URL ?? '', project)
    if (files.length === 0) throw error
    const message = 'the state of a stack can’t be read: stacks are listed by their files'
    say({ line: 'diagnostic', severity: 'warning', message })
    return files.map(({ name, updatedAt }) => ({
      name,
      ...(updatedAt && { updatedAt: updatedAt.toISOString() }),
    }))
  }
}

/** An existing stack may be half made: it is compared with the cloud first. */
async function up(workspace: LocalWorkspace, { stack: name, program, wanted }: StackRequest) {
  const { gpuMachine } = (await import(program)) as { gpuMachine: (inputs: unknown) => Promise<Outputs> }
  workspace.program = async () => gpuMachine(wanted?.inputs)
  await workspace.saveStackSettings(name, { config: { ...wanted?.config } })
  const stack = await Stack.create(name, workspace).catch(async (error) => {
    if (!(error instanceof StackAlreadyExistsError)) throw error
    const before = await Stack.select(name, workspace)
    await before.refresh({ ...quietly, clearPendingCreates: true })
    return before
  })
  const { outputs } = await stack.up(quietly)
  return { outputs: plain(outputs) }
}

function plain(outputs: Awaited<ReturnType<Stack['outputs']>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(outputs).map(([key, { value }]) => [key, value]))
}

function onEvent({ resourcePreEvent, diagnosticEvent }: EngineEvent): void {
  if (resourcePreEvent) {
    const { op, type, urn } = resourcePreEvent.metadata
    if (op !== 'same') say({ line: 'resource', doing: op, type, name: urn.split('::').at(-1) ?? urn })
  }
  if (diagnosticEvent && (diagnosticEvent.severity as string) !== 'debug') {
    const message = diagnosticEvent.message.trim()
    if (diagnosticEvent.severity === 'error') diagnostics.push(message)
    say({ line: 'diagnostic', severity: diagnosticEvent.severity, message })
  }
}

function faultOf(error: unknown): StackFault {
  const message = messageOf(error)
  if (error instanceof ConcurrentUpdateError) return { kind: 'locked', message }
  if (error instanceof StackNotFoundError) return { kind: 'missing', message }
  if (isUnreadable(message)) return { kind: 'unreadable', message }
  const told = error instanceof CommandError && diagnostics.length > 0
  const system = systemErrorOf(error) ?? systemErrorIn([message, ...diagnostics].join('\n'))
  return { kind: 'failed', message: told ? diagnostics.join('\n') : message, ...(system && { system }) }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function say(line: StackLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

function endAfter(milliseconds: number): void {
  setTimeout(() => {
    signalGroup(process.pid, 'SIGINT')
    setTimeout(() => {
      removeFolderIfOrphaned()
      killSession(process.pid)
    }, orphanGraceMs).unref()
  }, milliseconds).unref()
}

/** Otherwise the worker does it. */
function removeFolderIfOrphaned(): void {
  if (orphaned) rmSync(process.cwd(), { recursive: true, force: true, maxRetries: 3 })
}
