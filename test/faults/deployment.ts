/** A whole local deployment for tests: real database, store, engine, SSH and containers, with the tiny trainer. */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type Db, MongoClient, ObjectId } from 'mongodb'
import sharp from 'sharp'
import { type Clients, connectClients } from '../../src/clients.ts'
import { readConfig } from '../../src/config.ts'
import { mongoLedger } from '../../src/ledger/mongo-ledger.ts'
import { type LocalCloud, startLocalCloud } from '../../src/local/cloud.ts'
import { type RunningProcess, startProcess } from '../../src/local/demo/process.ts'
import { machinesLeft } from '../../src/local/machines/remove.ts'
import { publishBase } from '../../src/recipes/bases.ts'
import type { Offerings } from '../../src/recipes/offerings.ts'
import { setUp } from '../../tools/toolbox.ts'

export type Event = {
  readonly worker: string
  readonly job?: string
  readonly event?: string
  readonly msg?: string
  readonly data?: Readonly<Record<string, unknown>>
}

export type TestWorker = RunningProcess & {
  readonly name: string
  /** Settles with the first event, from now on, that fits. */
  next(fits: (event: Event) => boolean): Promise<Event>
}

const wishes = {
  resolution: 64,
  rank: 4,
  steps: 400,
  checkpointEvery: 50,
  sampleEvery: 0,
  precision: 'fp32',
  optimizer: 'adamw',
  quantization: 'none',
}

export const offerings: Offerings = {
  'sdxl-lora': { family: 'SDXL', base: 'tiny', pricePoints: 1000, wishes },
}

export type Deployment = Awaited<ReturnType<typeof startDeployment>>

export async function startDeployment(settings: Readonly<Record<string, string>> = {}) {
  const toolbox = await setUp()
  const trainer = toolbox.images.trainers.tiny
  const base = toolbox.bases.SDXL
  if (!trainer || !base) throw new Error('The set-up has made no tiny trainer or no tiny base.')
  const directory = await mkdtemp(join(tmpdir(), 'bellows-test-'))
  const deployment = `test-${directory.slice(-6).toLowerCase()}`
  const cloud: LocalCloud = await startLocalCloud({ toolbox, directory, deployment, offerings, trainer })
  const environment = { ...cloud.environment, ...settings }
  const clients: Clients = await connectClients(readConfig(environment))
  const mongo = await MongoClient.connect(environment.MONGODB_URL ?? '')
  const db: Db = mongo.db(environment.MONGODB_DATABASE)
  const workers: TestWorker[] = []
  const log: string[] = []

  await publishBase(clients.ports.store, base, { name: 'tiny', family: 'SDXL', licence: 'Apache-2.0' })
  const pictures = await Promise.all([0, 60, 120, 180].map((hue) => picture(hue)))
  for (const [index, body] of pictures.entries()) {
    await clients.ports.store.write({ bucket: 'datasets', key: `set/${index}.png` }, body, 'image/png')
  }

  function startWorker(name: string): TestWorker {
    const worker = startProcess(['src/worker.ts'], { ...environment, BELLOWS_WORKER: name })
    const waiting = new Set<(event: Event) => void>()
    createInterface({ input: worker.stdout }).on('line', (line) => {
      log.push(line)
      const event = JSON.parse(line) as Event
      for (const each of waiting) each(event)
    })
    const next = (fits: (event: Event) => boolean) =>
      Promise.race([
        worker.failed,
        new Promise<Event>((resolve) => {
          const look = (event: Event) => {
            if (!fits(event)) return
            waiting.delete(look)
            resolve(event)
          }
          waiting.add(look)
        }),
      ])
    const started = { ...worker, name, next }
    workers.push(started)
    return started
  }

  return {
    cloud,
    db,
    clients,
    environment,
    log,
    startWorker,
    /** As the UI does: an account of its own, somebody else's dataset, a job. */
    async insertJob(fields: Readonly<Record<string, unknown>> = {}): Promise<string> {
      const [owner, creator, datasetId] = [new ObjectId(), new ObjectId(), new ObjectId()]
      const now = new Date()
      await mongoLedger(db).topUp(owner.toHexString(), 5000, `top-up:${owner.toHexString()}`)
      await db.collection('datasets').insertOne({
        _id: datasetId,
        name: 'Colours',
        ownerAccountId: creator,
        createdAt: now,
        updatedAt: now,
        images: pictures.map((_, index) => `set/${index}.png`),
        captionSets: [],
        usageCount: 0,
        visibility: 'public',
        status: 'ready',
      })
      const job = {
        datasetId,
        ownerAccountId: owner,
        offeringId: 'sdxl-lora',
        baseModel: 'SDXL',
        status: 'QUEUED',
      }
      const { insertedId } = await db
        .collection('trainingJobs')
        .insertOne({ ...job, createdAt: now, updatedAt: now, ...fields })
      return insertedId.toHexString()
    },
    document: (id: string) =>
      db.collection('trainingJobs').findOne({ _id: ObjectId.createFromHexString(id) }),
    /** What exists in the cloud and in Docker. */
    async left(): Promise<readonly string[]> {
      const found = await clients.ports.machines.existing()
      return [...found.map(({ kind, name }) => `${kind} ${name}`), ...(await machinesLeft(deployment))]
    },
    /** Stages a trouble, or makes something happen to an instance (src/local/provider/control.ts). */
    async trouble(path: string, body: unknown = {}): Promise<void> {
      const answer = await fetch(`${cloud.controlUrl}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
    },
    async killWorkers(): Promise<void> {
      await Promise.all(workers.splice(0).map((worker) => worker.kill()))
    },
    async stop(): Promise<void> {
      await Promise.all(workers.map((worker) => worker.kill()))
      await mongo.close()
      await clients.close()
      await cloud.stop()
    },
  }
}

function picture(hue: number): Promise<Buffer> {
  const background = { r: 255 - hue, g: hue, b: 128 }
  return sharp({ create: { width: 300, height: 300, channels: 3, background } })
    .png()
    .toBuffer()
}
