import { join } from 'node:path'
import { execa } from 'execa'
import { ObjectId } from 'mongodb'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createIndexes as createLedgerIndexes } from '../../src/ledger/indexes.ts'
import { mongoComfyUiFolder } from '../../src/models/mongo-comfyui-folder.ts'
import { mongoModels } from '../../src/models/mongo-models.ts'
import { mongoAlerts } from '../../src/notify/mongo-alerts.ts'
import { type Forgotten, forget } from '../../src/operations/forget.ts'
import { createIndexes } from '../../src/operations/mongo-expiry.ts'
import { mongoRecords } from '../../src/operations/mongo-records.ts'
import { type RetentionSettings, sweepRetention } from '../../src/operations/retention.ts'
import { recipes } from '../../src/recipes/registry.ts'
import { r2Store } from '../../src/storage/r2-store.ts'
import type { Store } from '../../src/storage/store.ts'
import { createIndexes as createTrainingIndexes } from '../../src/trainings/indexes.ts'
import { mongoRuns } from '../../src/trainings/mongo-runs.ts'
import { mongoTimeline } from '../../src/trainings/mongo-timeline.ts'
import type { Lease, Outcome, RunChange } from '../../src/trainings/runs.ts'
import { planInput } from '../recipes/samples.ts'
import { testDatabase } from '../support/database.ts'
import { manualClock } from '../support/manual-clock.ts'
import { buckets, startTestStore, type TestStore } from '../support/object-store.ts'
import { fewestSettings } from '../support/settings.ts'

const prompt = 'a zebra named Quagmire'
const dayMs = 24 * 60 * 60_000
const keep: RetentionSettings = { eventsDays: 365, evidenceDays: 90, leftoversDays: 30 }

describe('forgetting', () => {
  const database = testDatabase()
  let server: TestStore
  let store: Store
  let account: string
  const ports = () => ({
    store,
    runs: mongoRuns(database.db, 'here'),
    records: mongoRecords(database.db, 'here'),
    clock: manualClock(),
  })
  const forgetNow = (id: string, dryRun = false) => forget(ports(), id, { owner: 'operator', dryRun })

  beforeAll(async () => {
    server = await startTestStore()
    store = r2Store(server.options)
  })
  afterAll(() => server.remove())

  beforeEach(async () => {
    for (const { name } of await database.db.listCollections().toArray())
      await database.db.collection(name).deleteMany({})
    for (const bucket of ['models', 'work'] as const)
      for (const object of await store.list(bucket, '')) await store.remove(object)
    await Promise.all([
      createTrainingIndexes(database.db),
      createLedgerIndexes(database.db),
      createIndexes(database.db),
    ])
    account = new ObjectId().toHexString()
  })

  async function insertJob(status: string): Promise<string> {
    const { insertedId } = await database.db.collection('trainingJobs').insertOne({
      status,
      ownerAccountId: ObjectId.createFromHexString(account),
      modelName: 'hers',
      ...(status === 'COMPLETED' && { modelRepoUrl: 'https://models.example/x', previewImages: [prompt] }),
    })
    return insertedId.toHexString()
  }

  /** A run that has ended, or not, with everything that a training leaves behind. */
  async function leave(
    id: string,
    ending: Outcome['ending'] | undefined,
    more: RunChange = {},
  ): Promise<void> {
    const runs = mongoRuns(database.db, 'here')
    const timeline = mongoTimeline(database.db)
    const { lease } = (await runs.acquire(id, 'worker', 60_000)) as { lease: Lease }
    const plan = recipes.SDXL.plan({
      ...planInput,
      trainingId: id,
      name: 'hers-abcdef',
      triggerWord: 'Quagmire',
      dataset: { images: 20, clips: 0, sha256: 'b'.repeat(64) },
      captions: [],
      overrides: { samplePrompts: [prompt] },
    })
    const event = { trainingId: id, worker: 'worker', token: 1, kind: 'failure', message: 'it broke' }
    const terms = {
      ownerAccountId: account,
      datasetId: 'd',
      offeringId: 'sdxl-lora',
      pricePoints: 5,
      modelName: 'hers',
    }
    const run = await runs.change(lease, {
      plan,
      terms,
      chargedPoints: 5,
      event: {
        ...event,
        data: { reason: 'trainer-crashed', evidence: `a log with ${prompt}`, stack: 'Error' },
      },
    })
    if (run.lastEvent) await timeline.append(run.lastEvent)
    const result = {
      modelId: new ObjectId().toHexString(),
      modelRepoUrl: 'https://models.example/x',
      triggerWords: ['Quagmire'],
      previewImages: [],
    }
    const outcome: Outcome | undefined = ending && {
      ending,
      sentence: `It was ${prompt}`,
      refundPoints: 0,
      decidedAt: new Date(),
      ...(ending === 'trained' && { result }),
    }
    await runs.change(lease, {
      ...more,
      ...(outcome && { outcome }),
      ...(outcome && { endedAt: new Date() }),
      ...more,
    })
    await runs.release(lease)
    await store.write({ bucket: 'models', key: `loras/${id}/secret/hers.safetensors` }, 'x', 'text/plain')
    await store.write({ bucket: 'work', key: `jobs/${id}/checkpoint-5.tar` }, 'x', 'text/plain')
    const manifest = {
      version: 1,
      trainingId: id,
      models: [
        {
          name: 'hers-abcdef.safetensors',
          key: `loras/${id}/secret/hers.safetensors`,
          size: 1,
          sha256: 'a'.repeat(64),
          url: 'https://models.example/x',
        },
      ],
      samples: [],
      training: { steps: 10, seconds: 1, finalLoss: 0.1, finishedAt: new Date() },
      shippedAt: new Date(),
      plan,
      image: 'registry.example/sdxl:1',
    }
    await store.write(
      { bucket: 'work', key: `manifests/${id}.json` },
      JSON.stringify(manifest),
      'application/json',
    )
    await store.write({ bucket: 'work', key: `refused/${id}/hers.safetensors` }, 'x', 'text/plain')
  }

  async function register(id: string): Promise<void> {
    const model = await mongoModels(database.db).register({
      trainingId: id,
      datasetId: new ObjectId().toHexString(),
      captionSetId: undefined,
      ownerAccountId: account,
      name: 'hers',
      family: 'SDXL',
      baseModel: 'base',
      triggerWords: ['Quagmire'],
      steps: 10,
      duration: 10,
      finalLoss: 0.1,
      trainedAt: new Date(),
      previewImages: [],
      modelFileUrl: 'https://models.example/x',
    } as never)
    await mongoComfyUiFolder(database.db).install({
      modelId: model.id,
      filename: 'hers.safetensors',
      url: 'https://models.example/x',
      size: 1,
      sha256: 'a'.repeat(64),
    })
  }

  /** Everything in the database but the ledger, and every name in the store, as text. */
  async function whatIsLeft(): Promise<string> {
    const collections = await database.db.listCollections().toArray()
    const documents = await Promise.all(
      collections
        .filter(({ name }) => !name.startsWith('pointsLedger') && !name.startsWith('pointsAccounts'))
        .map(({ name }) => database.db.collection(name).find().toArray()),
    )
    const objects = [...(await store.list('models', '')), ...(await store.list('work', ''))]
    return JSON.stringify([documents, objects])
  }

  test('a forgotten training leaves no object, event, evidence, alert or list entry, and its ledger', async () => {
    const id = await insertJob('COMPLETED')
    await leave(id, 'trained')
    await register(id)
    const alerts = mongoAlerts(database.db, 'here')
    await alerts.report(`job:${id}`, { title: `Training ${id}`, text: prompt, severity: 'warning' })
    await alerts.raise('comfyui', { title: 'Away', text: `Training ${id} waits.`, severity: 'critical' })
    await database.db.collection('pointsLedger').insertOne({ trainingId: id, key: `charge:${id}` })
    expect(await whatIsLeft()).toContain('Quagmire')

    const [forgotten] = await forgetNow(id)

    expect(forgotten?.objects.toSorted()).toEqual([
      `models/loras/${id}/secret/hers.safetensors`,
      `work/jobs/${id}/checkpoint-5.tar`,
      `work/manifests/${id}.json`,
      `work/refused/${id}/hers.safetensors`,
    ])
    expect(forgotten?.records).toEqual({
      "files in ComfyUI's list": 1,
      'models in the gallery': 1,
      events: 1,
      alerts: 2,
      'documents with results': 1,
    })
    const left = await whatIsLeft()
    expect(left).not.toContain('Quagmire')
    expect(left).not.toContain('models.example')
    expect(left).not.toContain('.safetensors')
    expect(await store.list('models', '')).toEqual([])
    expect(await store.list('work', '')).toEqual([])
    expect((await alerts.standing()).map(({ text }) => text)).toEqual([
      'Training a forgotten training waits.',
    ])
    expect(await database.db.collection('pointsLedger').countDocuments({ trainingId: id })).toBe(1)
    const run = await mongoRuns(database.db, 'here').read(id)
    expect(run).toMatchObject({
      number: 1,
      chargedPoints: 5,
      outcome: { ending: 'trained', refundPoints: 0 },
    })
    expect(run).not.toHaveProperty('terms')
  })

  test('forgetting an account forgets its trainings and no other', async () => {
    const mine = [await insertJob('COMPLETED'), await insertJob('FAILED')]
    await leave(mine[0] ?? '', 'trained')
    await leave(mine[1] ?? '', 'trainer-crashed')
    const before = account
    account = new ObjectId().toHexString()
    const others = await insertJob('COMPLETED')
    await leave(others, 'trained')

    const forgotten = await forgetNow(before)

    expect(forgotten.map(({ id }) => id)).toEqual(mine.toSorted())
    const left = [...(await store.list('models', '')), ...(await store.list('work', ''))].map(
      ({ key }) => key,
    )
    expect(left.filter((key) => !key.includes(others))).toEqual([])
    expect(left).toHaveLength(4)
    expect(await mongoTimeline(database.db).read(others)).toHaveLength(1)
  })

  test.each([
    ['its run has not ended', 'RUNNING', undefined, /is not over/],
    ['it is queued', 'QUEUED', 'trainer-crashed', /is queued/],
  ] as const)(
    'nothing of an account is removed while one of its trainings is live: %s',
    async (_, status, ending, why) => {
      const over = await insertJob('COMPLETED')
      await leave(over, 'trained')
      await leave(await insertJob(status), ending)
      const before = await whatIsLeft()

      await expect(forgetNow(account)).rejects.toThrow(why)

      expect(await whatIsLeft()).toBe(before)
    },
  )

  test('a training is not forgotten while one of its machines may still exist', async () => {
    const id = await insertJob('FAILED')
    await leave(id, 'trainer-crashed')
    await database.db
      .collection<{ _id: string }>('trainingRuns')
      .updateOne({ _id: id }, { $set: { attempts: [{ number: 1, run: 1, name: 'bellows-x-1' }] } })

    await expect(forgetNow(id)).rejects.toThrow(/bellows-x-1/)
  })

  test('a training that a worker holds is not forgotten', async () => {
    const id = await insertJob('FAILED')
    await leave(id, 'trainer-crashed')
    const runs = mongoRuns(database.db, 'here')
    await runs.acquire(id, 'worker', 60_000)

    await expect(forgetNow(id)).rejects.toThrow(/held by a worker/)
    expect(await store.list('work', '')).toHaveLength(3)
  })

  test('one that is queued again just before it is held is left', async () => {
    const id = await insertJob('FAILED')
    await leave(id, 'trainer-crashed')
    const before = await store.list('work', '')
    const { runs } = ports()
    const acquire: typeof runs.acquire = async (...asked) => {
      await database.db.collection('trainingJobs').updateOne({}, { $set: { status: 'QUEUED' } })
      return runs.acquire(...asked)
    }

    const forgetting = forget({ ...ports(), runs: { ...runs, acquire } }, id, { owner: 'operator' })

    await expect(forgetting).rejects.toThrow(/is queued/)
    expect(await store.list('work', '')).toEqual(before)
    expect(await ports().runs.acquire(id, 'worker', 60_000)).toBeDefined()
  })

  test('one whose lease is lost on the way removes nothing more', async () => {
    const id = await insertJob('FAILED')
    await leave(id, 'trainer-crashed')
    const clock = manualClock()
    const records = mongoRecords(database.db, 'here')
    const [first, ...others] = records.tracesOf(id)
    if (!first) throw new Error('nothing is kept of it')
    const remove = async () => {
      await first.remove()
      clock.jump(60_000)
    }
    const traces = [{ ...first, remove }, ...others]
    const before = await store.list('work', '')

    const forgetting = forget({ ...ports(), clock, records: { ...records, tracesOf: () => traces } }, id, {
      owner: 'operator',
    })

    await expect(forgetting).rejects.toThrow(/no longer holds training/)
    expect(await store.list('work', '')).toEqual(before)
  })

  test('--dry-run says the same and removes nothing', async () => {
    const id = await insertJob('COMPLETED')
    await leave(id, 'trained')
    const before = await whatIsLeft()

    const said = await forgetNow(id, true)

    expect(await whatIsLeft()).toBe(before)
    expect(await forgetNow(id)).toEqual(said)
  })

  test('forgetting again finds nothing, and what was cut short goes on', async () => {
    const id = await insertJob('COMPLETED')
    await leave(id, 'trained')
    const broken: Store = {
      ...store,
      async remove({ bucket, key }) {
        if (key.startsWith('manifests/')) throw new Error('cut short')
        await store.remove({ bucket, key })
      },
    }
    await expect(forget({ ...ports(), store: broken }, id, { owner: 'operator' })).rejects.toThrow(
      'cut short',
    )

    const [rest] = await forgetNow(account)

    expect(rest).toEqual({ id, objects: [`work/manifests/${id}.json`], records: {} } satisfies Forgotten)
    expect(await forgetNow(id)).toEqual([])
    expect(await whatIsLeft()).not.toContain('Quagmire')
  })

  test('a forgotten training that is queued again gets another run, charged under a key of its own', async () => {
    const id = await insertJob('FAILED')
    await leave(id, 'trainer-crashed')
    await forgetNow(id)

    const runs = mongoRuns(database.db, 'here')
    const held = await runs.acquire(id, 'worker', 60_000)
    const next = held && (await runs.restart(held.lease))

    expect(next).toMatchObject({ number: 2, phase: 'claimed', earlier: [{ number: 1, chargedPoints: 5 }] })
  })

  test('the command prints each object and record, and with --dry-run leaves them', async () => {
    const id = await insertJob('COMPLETED')
    await store.write({ bucket: 'models', key: `loras/${id}/secret/hers.safetensors` }, 'x', 'text/plain')
    const command = (...more: readonly string[]) =>
      execa(process.execPath, [join(import.meta.dirname, '../../src/cli.ts'), 'forget', ...more, id], {
        env: {
          PATH: process.env.PATH,
          ...fewestSettings,
          MONGODB_URL: database.url,
          MONGODB_DATABASE: database.db.databaseName,
          R2_ENDPOINT: server.endpoint,
          R2_ACCESS_KEY_ID: server.accessKeyId,
          R2_SECRET_ACCESS_KEY: server.secretAccessKey.reveal(),
          R2_MODELS_BUCKET: buckets.models,
          R2_WORK_BUCKET: buckets.work,
        },
        extendEnv: false,
        stdin: 'ignore',
      })
    const said = [id, `  models/loras/${id}/secret/hers.safetensors`, '  1 documents with results'].join('\n')

    expect((await command('--dry-run')).stdout).toBe(
      `${said}\nNothing was removed: without --dry-run it would be.`,
    )
    expect(await store.list('models', '')).toHaveLength(1)
    expect((await command()).stdout).toBe(said)
    expect(await store.list('models', '')).toEqual([])
    expect((await command()).stdout).toBe(`Nothing is kept of ${id}.`)
  }, 60_000)

  describe('by time', () => {
    const ago = (days: number) => ({ endedAt: new Date(Date.now() - days * dayMs) })
    const sweep = () => sweepRetention(ports(), keep, new Date())
    const timeline = () => mongoTimeline(database.db)

    test('evidence goes before the events that carried it', async () => {
      const id = await insertJob('FAILED')
      await leave(id, 'trainer-crashed', ago(91))

      expect(await sweep()).toEqual({ evidence: 1, events: 0, leftovers: 1 })

      expect(await timeline().read(id)).toMatchObject([
        { message: 'it broke', data: { reason: 'trainer-crashed' } },
      ])
      expect(JSON.stringify(await timeline().read(id))).not.toContain('Quagmire')
      expect(JSON.stringify((await mongoRuns(database.db, 'here').read(id))?.lastEvent)).not.toContain(
        'Quagmire',
      )
      expect(await sweep()).toEqual({ evidence: 0, events: 0, leftovers: 0 })
    })

    test('events go after a year, and neither a younger run nor one that goes on loses any', async () => {
      const [old, young, live] = [
        await insertJob('FAILED'),
        await insertJob('FAILED'),
        await insertJob('RUNNING'),
      ]
      await leave(old, 'trainer-crashed', ago(366))
      await leave(young, 'trainer-crashed', ago(89))
      await leave(live, undefined)

      expect((await sweep()).events).toBe(1)

      expect(await timeline().read(old)).toEqual([])
      expect(await timeline().read(young)).toHaveLength(1)
      expect(await timeline().read(live)).toHaveLength(1)
      expect(JSON.stringify(await timeline().read(young))).toContain('Quagmire')
    })

    test('what a failed job or stale worker left in the store goes after a month; a model keeps its files', async () => {
      const [failed, recent, trained] = [
        await insertJob('FAILED'),
        await insertJob('FAILED'),
        await insertJob('COMPLETED'),
      ]
      await leave(failed, 'trainer-crashed', ago(31))
      await leave(recent, 'trainer-crashed', ago(29))
      await leave(trained, 'trained', ago(400))
      const stale = `loras/${trained}/secret/2/hers.safetensors`
      await store.write({ bucket: 'models', key: stale }, 'x', 'text/plain')

      await sweep()

      const left = [...(await store.list('models', '')), ...(await store.list('work', ''))].map(
        ({ key }) => key,
      )
      expect(left.toSorted()).toEqual(
        [
          `loras/${recent}/secret/hers.safetensors`,
          `jobs/${recent}/checkpoint-5.tar`,
          `manifests/${recent}.json`,
          `refused/${recent}/hers.safetensors`,
          `loras/${trained}/secret/hers.safetensors`,
          `manifests/${trained}.json`,
        ].toSorted(),
      )
    })

    test("one run's trouble doesn't keep the others from being swept", async () => {
      const [stuck, fine] = [await insertJob('FAILED'), await insertJob('FAILED')]
      await leave(stuck, 'trainer-crashed', ago(32))
      await leave(fine, 'trainer-crashed', ago(31))
      const broken: Store = {
        ...store,
        async remove(object) {
          if (object.key.includes(stuck)) throw new Error('the store is away')
          await store.remove(object)
        },
      }

      await expect(sweepRetention({ ...ports(), store: broken }, keep, new Date())).rejects.toThrow(stuck)

      const left = [...(await store.list('models', '')), ...(await store.list('work', ''))]
      expect(left.filter(({ key }) => key.includes(fine))).toEqual([])
      expect((await sweep()).leftovers).toBe(1)
    })

    test('a run that a worker holds is left for the next sweep', async () => {
      const id = await insertJob('FAILED')
      await leave(id, 'trainer-crashed', ago(400))
      const runs = mongoRuns(database.db, 'here')
      const held = await runs.acquire(id, 'worker', 60_000)

      expect(await sweep()).toEqual({ evidence: 0, events: 0, leftovers: 0 })
      if (held) await runs.release(held.lease)
      expect(await sweep()).toEqual({ evidence: 1, events: 1, leftovers: 1 })
    })
  })
})
