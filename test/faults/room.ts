/**
 * A deployment of its own on a cloud that it may share with others: a database, a tag, a temporary folder, and as
 * many workers as a test wants. What one room's workers do, those of another never see.
 */
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type Db, MongoClient, ObjectId } from 'mongodb'
import { type RunningProcess, startProcess } from '../../local/demo/process.ts'
import type { LocalCloud } from '../../local/emulator/cloud.ts'
import { docker } from '../../local/emulator/machines/docker.ts'
import { type Clients, connectClients } from '../../src/clients.ts'
import { readConfig } from '../../src/config.ts'
import { mongoLedger } from '../../src/ledger/mongo-ledger.ts'

export type Event = {
  readonly worker: string
  readonly job?: string
  readonly event?: string
  readonly msg?: string
  readonly data?: Readonly<Record<string, unknown>>
}

/** An event, and when it was heard of here. */
export type Heard = Event & { readonly heardAt: number }

export type TestWorker = RunningProcess & {
  readonly name: string
  /** Settles with the first event, from now on, that fits. */
  next(fits: (event: Event) => boolean): Promise<Heard>
}

export type RoomOptions = {
  readonly cloud: LocalCloud
  /** The name of the base's deployment. Each room has an identity of its own, since each has its own database. */
  readonly deployment: string
  /** Of its database and its temporary folder. */
  readonly name: string
  /** Images of every job's dataset, by their keys in the bucket. */
  readonly images: readonly string[]
  readonly settings?: Readonly<Record<string, string>>
}

export type Room = Awaited<ReturnType<typeof openRoom>>

/** Whose datasets all jobs learn from: the keys of their files name the account. */
export const imagesOwner = new ObjectId()

export async function openRoom({ cloud, deployment, name, images, settings = {} }: RoomOptions) {
  const temporaryFolder = join(cloud.directory, 'tmp', name)
  await mkdir(temporaryFolder, { recursive: true })
  const environment: Readonly<Record<string, string>> = {
    ...cloud.environment,
    MONGODB_DATABASE: `bellows_${name.replaceAll('-', '_')}`,
    BELLOWS_DEPLOYMENT: deployment,
    TMPDIR: temporaryFolder,
    ...settings,
  }
  const clients: Clients = await connectClients(readConfig(environment))
  const mongo = await MongoClient.connect(environment.MONGODB_URL ?? '')
  const db: Db = mongo.db(environment.MONGODB_DATABASE)
  const workers: TestWorker[] = []
  const log: string[] = []
  const events: Heard[] = []

  const listeners = new Set<(event: Heard) => void>()

  function next(fits: (event: Event) => boolean): Promise<Heard> {
    return new Promise((resolve) => {
      const look = (event: Heard) => {
        if (!fits(event)) return
        listeners.delete(look)
        resolve(event)
      }
      listeners.add(look)
    })
  }

  /** `program`: what Node is started with; default: the worker. `others`: settings of this worker alone. */
  function startWorker(
    name: string,
    program: readonly string[] = ['src/worker.ts'],
    others: Readonly<Record<string, string>> = {},
  ): TestWorker {
    const worker = startProcess(program, { ...environment, ...others, BELLOWS_WORKER: name })
    createInterface({ input: worker.stderr }).on('line', (line) => log.push(line))
    createInterface({ input: worker.stdout }).on('line', (line) => {
      log.push(line)
      const event = { ...(JSON.parse(line) as Event), heardAt: Date.now() }
      events.push(event)
      for (const each of listeners) each(event)
    })
    const nextOfIt = (fits: (event: Event) => boolean) =>
      Promise.race([worker.failed, next((event) => event.worker === name && fits(event))])
    const started = { ...worker, name, next: nextOfIt }
    workers.push(started)
    return started
  }

  /** As the UI does: an account of its own, another user's dataset, a job. */
  async function insertJob(fields: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const [owner, datasetId] = [new ObjectId(), new ObjectId()]
    const now = new Date()
    await mongoLedger(db).topUp(owner.toHexString(), 5000, `top-up:${owner.toHexString()}`)
    await db.collection('datasets').insertOne({
      _id: datasetId,
      name: 'Colours',
      ownerAccountId: imagesOwner,
      createdAt: now,
      updatedAt: now,
      images,
      captionSets: [],
      usageCount: 0,
      visibility: 'public',
      status: 'ready',
    })
    const job = { datasetId, ownerAccountId: owner, offeringId: 'sdxl-lora', baseModel: 'SDXL' }
    const { insertedId } = await db
      .collection('trainingJobs')
      .insertOne({ ...job, status: 'QUEUED', createdAt: now, updatedAt: now, ...fields })
    return insertedId.toHexString()
  }

  return {
    cloud,
    db,
    clients,
    environment,
    /** Every line that a worker wrote, to stdout or stderr. */
    log,
    events,
    startWorker,
    /** Settles with the first event of any worker, from now on, that fits. */
    next,
    insertJob,
    document: (id: string) =>
      db.collection('trainingJobs').findOne({ _id: ObjectId.createFromHexString(id) }),
    /** What exists in the cloud, in Docker, in the work bucket and in the temporary folder. */
    async left(): Promise<readonly string[]> {
      const found = await clients.ports.machines.existing()
      const label = ['--filter', `label=bellows:deployment=${clients.deployment}`]
      const containers = await docker(['ps', '--all', '--format', 'container {{.Names}}', ...label])
      const volumes = await docker(['volume', 'ls', '--format', 'volume {{.Name}}', ...label])
      const scratch = await Promise.all(
        (await db.collection('trainingJobs').find().project({ _id: 1 }).toArray()).map(({ _id }) =>
          clients.ports.store.list('work', `jobs/${_id.toHexString()}/`),
        ),
      )
      return [
        ...found.map(({ kind, name }) => `${kind} ${name}`),
        ...`${containers}\n${volumes}`.split('\n').filter(Boolean),
        ...scratch.flat().map(({ key }) => `object ${key}`),
        ...(await readdir(temporaryFolder)).map((name) => `temporary ${name}`),
      ]
    },
    /** Lets them finish what they are at. */
    async stopWorkers(): Promise<void> {
      await Promise.all(workers.splice(0).map((worker) => worker.stop()))
    },
    async killWorkers(): Promise<void> {
      await Promise.all(workers.splice(0).map((worker) => worker.kill()))
    },
    async close(): Promise<void> {
      await Promise.all(workers.map((worker) => worker.kill()))
      await mongo.close()
      await clients.close()
    },
  }
}
