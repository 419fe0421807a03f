import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { MongoClient } from 'mongodb'
import { publishBaseModel } from '../../src/bases/bases.ts'
import { type Clients, connectClients } from '../../src/clients.ts'
import { readConfig } from '../../src/config.ts'
import type { Family } from '../../src/family.ts'
import { makeTemporaryFolder } from '../../src/temporary-folder.ts'
import { startLocalCloud } from '../emulator/cloud.ts'
import { machinesLeft } from '../emulator/machines/remove.ts'
import { tinyBase } from '../emulator/offerings.ts'
import type { DevEnvironment } from '../setup/dev-environment.ts'
import type { Display } from './display.ts'
import { followLog } from './follow.ts'
import { startProcess } from './process.ts'
import { printReceipt } from './receipt.ts'
import { insertJob, openingBalance, readPhotographs, type Seeded, seed } from './seed.ts'

export type DemoOptions = {
  readonly families: readonly Family[]
  /** Leave everything up until Ctrl-C. */
  readonly keep: boolean
  readonly display: Display
  /** Aborts on Ctrl-C: everything is taken down. */
  readonly signal: AbortSignal
}

export async function runDemo(
  devEnvironment: DevEnvironment,
  { families, keep, display, signal }: DemoOptions,
): Promise<void> {
  await using undo = new AsyncDisposableStack()
  const directory = await makeTemporaryFolder('demo')
  const deployment = `demo-${directory.slice(-6).toLowerCase()}`

  const cloud = await startLocalCloud({
    devEnvironment,
    directory,
    deployment,
    families,
    onProgress: display.activity,
  })
  undo.defer(() => {
    display.activity('taking everything down')
    return cloud.stop()
  })
  signal.throwIfAborted()
  display.line(
    'The local cloud is up: database, object store, CDN, AWS and Cloudflare; base made by pulumi up.',
  )

  const clients = await connectClients(readConfig(cloud.environment))
  undo.defer(clients.close)
  const seeded = await fill(devEnvironment, clients, cloud.environment, families, display)
  signal.throwIfAborted()

  const worker = startProcess(['src/worker.ts'], cloud.environment)
  undo.defer(worker.stop)
  const followed = followLog(worker.stdout, display)
  const url = await aborted(signal, Promise.race([followed.url, worker.failed]))
  const comfyUi = join(directory, 'ComfyUI/models/loras')
  await mkdir(comfyUi, { recursive: true })
  const sync = startProcess(
    ['src/cli.ts', 'sync', '--from', url, '--to', comfyUi, '--watch', '--every', '0.5'],
    cloud.environment,
  )
  undo.defer(sync.stop)
  display.line(`Worker and status page: ${url}`)

  for (const family of families) {
    const id = await submitJob(cloud.environment, seeded, family)
    display.line(`\nA job for ${family} is in trainingJobs, status QUEUED: ${id}\n`)
    await aborted(signal, Promise.race([followed.ended(id), worker.failed]))
    display.line(`\nReceipt of ${id}\n`)
    await printReceipt(id, clients.ports, comfyUi, display)
    const balance = await clients.ports.ledger.balance(seeded.trainer.toHexString())
    display.line(`balance      ${openingBalance} → ${balance} points`)
    await printWhatIsLeft(clients, deployment, directory, display)
  }

  if (keep) {
    display.line(`\nEverything is left up. Status page: ${url}   Database: ${cloud.environment.MONGODB_URL}`)
    display.line('Ctrl-C takes it down.')
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  }
}

const clipCaption = 'an early film, a cat that walks and then runs in front of a grid'

/** Base models into their bucket; an account with points and another user's dataset. */
async function fill(
  devEnvironment: DevEnvironment,
  { ports }: Clients,
  environment: Readonly<Record<string, string>>,
  families: readonly Family[],
  display: Display,
): Promise<Seeded> {
  for (const family of families) {
    const folder = devEnvironment.bases[family]
    if (!folder) throw new Error(`The set-up has made no tiny base for ${family}.`)
    await publishBaseModel(ports.store, folder, { name: tinyBase(family), family, licence: 'Apache-2.0' })
  }
  const photographs = await readPhotographs(devEnvironment.photographs)
  const clips = families.includes('WAN') ? [{ path: devEnvironment.clip, caption: clipCaption }] : []
  const seeded = await withDatabase(environment, (db) => seed(db, ports.store, [...photographs, ...clips]))
  display.line(
    `Uploaded ${photographs.length} photographs${clips.length > 0 ? ' and a clip' : ''} with captions; ` +
      `the demo account has ${openingBalance} points.`,
  )
  return seeded
}

function submitJob(
  environment: Readonly<Record<string, string>>,
  seeded: Seeded,
  family: Family,
): Promise<string> {
  return withDatabase(environment, (db) => insertJob(db, seeded, family))
}

async function withDatabase<T>(
  environment: Readonly<Record<string, string>>,
  work: (db: ReturnType<MongoClient['db']>) => Promise<T>,
): Promise<T> {
  const client = await MongoClient.connect(environment.MONGODB_URL ?? '')
  try {
    return await work(client.db(environment.MONGODB_DATABASE))
  } finally {
    await client.close()
  }
}

/** The proof: what AWS, Docker, Pulumi and the file system show; throws if anything is there. */
async function printWhatIsLeft(
  { ports }: Clients,
  deployment: string,
  directory: string,
  display: Display,
): Promise<void> {
  const cloud = await ports.machines.existing()
  const docker = await machinesLeft(deployment)
  const folders = await readdir(join(directory, 'tmp'))
  const scratch = await ports.store.list('work', 'jobs/')
  const count = (kind: string) => cloud.filter((each) => each.kind === kind).length
  display.line(
    `left         ${count('stack')} stacks, ${count('instance')} machines, ${count('volume')} volumes, ` +
      `${count('key-pair')} key pairs, ${count('security-group')} groups, ${docker.length} containers, ` +
      `${folders.length} temporary folders, ${scratch.length} scratch files`,
  )
  const left = [
    ...cloud.map(({ kind, id }) => `${kind} ${id}`),
    ...docker,
    ...folders,
    ...scratch.map(({ key }) => key),
  ]
  if (left.length > 0) throw new Error(`Something was left behind: ${left.join(', ')}`)
}

function aborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const abort = new Promise<never>((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  return Promise.race([work, abort])
}
