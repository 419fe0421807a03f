/** The existing collections that a training reads from and adds to: `datasets` and `loraModels`. */
import { ObjectId } from 'mongodb'
import { beforeEach, expect, test } from 'vitest'
import type { Datasets } from '../../src/datasets/datasets.ts'
import { mongoDatasets } from '../../src/datasets/mongo-datasets.ts'
import { createIndexes } from '../../src/models/indexes.ts'
import type { Models, NewModel } from '../../src/models/models.ts'
import { type ComfyUiFolder, mongoComfyUiFolder } from '../../src/models/mongo-comfyui-folder.ts'
import { mongoModels } from '../../src/models/mongo-models.ts'
import { memoryComfyUiFolder } from '../fakes/memory-comfyui-folder.ts'
import { memoryDatasets } from '../fakes/memory-datasets.ts'
import { memoryModels } from '../fakes/memory-models.ts'
import { describeBoth } from './worlds.ts'

const owner = new ObjectId()
const training = 'a'.repeat(24)

function dataset(fields: Record<string, unknown> = {}): Record<string, unknown> & { _id: ObjectId } {
  return {
    _id: new ObjectId(),
    name: 'Cups',
    ownerAccountId: owner,
    images: ['one.jpg', 'https://cdn.example/two.jpg'],
    captionSets: [],
    usageCount: 4,
    visibility: 'private',
    accessControl: [owner],
    status: 'ready',
    ...fields,
  }
}

function model(trainingId: string, name = 'Blue Cup'): NewModel {
  return {
    trainingId,
    datasetId: 'b'.repeat(24),
    captionSetId: undefined,
    ownerAccountId: owner.toHexString(),
    name,
    family: 'SDXL',
    baseModel: 'sdxl-tiny',
    triggerWords: ['sks'],
    steps: 10,
    duration: 60,
    finalLoss: 0.1,
    examplePrompts: ['a sks cup'],
    trainedAt: new Date(0),
    previewImages: [],
    modelFileUrl: 'https://models.example/blue-cup.safetensors',
  }
}

describeBoth('datasets, models and the ComfyUI folder', (world) => {
  let datasets: Datasets
  let models: Models
  let folder: ComfyUiFolder
  let insert: (document: Record<string, unknown>) => Promise<unknown>
  let find: (id: ObjectId) => Promise<Record<string, unknown> | null | undefined>

  beforeEach(async () => {
    if (world.name === 'memory') {
      const memory = memoryDatasets()
      datasets = memory
      insert = async (document) => memory.insert(document)
      find = async (id) => memory.document(id.toHexString())
      models = memoryModels()
      folder = memoryComfyUiFolder()
      return
    }
    const db = world.db()
    await db.dropDatabase()
    await createIndexes(db)
    datasets = mongoDatasets(db)
    insert = (document) => db.collection('datasets').insertOne(document)
    find = (_id) => db.collection('datasets').findOne({ _id })
    models = mongoModels(db)
    folder = mongoComfyUiFolder(db)
  })

  test('a dataset is read with the captions of its newest finished set', async () => {
    const [old, young, unfinished] = [new ObjectId(), new ObjectId(), new ObjectId()]
    const one = dataset({
      captionSets: [
        { _id: old, captions: ['old'], createdAt: new Date(1) },
        { _id: young, captions: ['a cup', null], createdAt: new Date(2), status: 'completed' },
        { _id: unfinished, captions: ['half'], createdAt: new Date(3), status: 'processing' },
      ],
    })
    await insert(one)
    expect(await datasets.read(one._id.toHexString())).toEqual({
      id: one._id.toHexString(),
      name: 'Cups',
      ownerAccountId: owner.toHexString(),
      status: 'ready',
      visibility: 'private',
      accessControl: [owner.toHexString()],
      images: one.images,
      captions: ['a cup', ''],
      captionSetId: young.toHexString(),
    })
  })

  test('a dataset that is not there is undefined', async () => {
    expect(await datasets.read('f'.repeat(24))).toBeUndefined()
  })

  test.each([
    [{ ownerAccountId: 'somebody' }, 'it has no valid owner'],
    [{ images: 'one.jpg' }, 'it has no list of images'],
    [{ images: ['one.jpg', 7] }, 'image 2 has no address'],
  ])('a dataset that makes no sense says why: %o', async (fields, detail) => {
    const one = dataset(fields)
    await insert(one)
    expect(await datasets.read(one._id.toHexString())).toMatchObject({
      problem: detail,
      visibility: 'private',
    })
  })

  test('a training is recorded once, however often and by however many', async () => {
    const one = dataset({ trainingIds: [new ObjectId()] })
    await insert(one)
    const id = one._id.toHexString()
    await Promise.all(Array.from({ length: 20 }, () => datasets.recordTraining(id, training)))
    await datasets.recordTraining(id, 'b'.repeat(24))
    const { usageCount, trainingIds, ...rest } = (await find(one._id)) ?? {}
    expect(usageCount).toBe(6)
    expect((trainingIds as ObjectId[]).map(String).slice(1)).toEqual([training, 'b'.repeat(24)])
    expect(rest).toEqual((({ usageCount, trainingIds, ...others }) => others)(one))
  })

  test.each([undefined, null, 'none'])(
    'fields of a foreign type do not stop the record: %o',
    async (value) => {
      const one = dataset({ trainingIds: value, usageCount: value })
      await insert(one)
      await datasets.recordTraining(one._id.toHexString(), training)
      const { usageCount, trainingIds } = (await find(one._id)) ?? {}
      expect([usageCount, String((trainingIds as ObjectId[])[0])]).toEqual([1, training])
    },
  )

  test('a training makes one model, however often it is registered', async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => models.register(model(training))))
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1)
    expect(answers[0]).toMatchObject({ slug: 'blue-cup', name: 'Blue Cup' })
    expect(await models.register(model(training, 'Another name'))).toEqual(answers[0])
    expect(await models.findByTraining(training)).toEqual(answers[0])
    expect(await models.findByTraining('c'.repeat(24))).toBeUndefined()
  })

  test('models of one name get different slugs', async () => {
    const ids = Array.from({ length: 8 }, (_, index) => `${index}`.repeat(24))
    const answers = await Promise.all(ids.map((id) => models.register(model(id))))
    const all = answers.map(({ slug }) => slug)
    expect(new Set(all).size).toBe(8)
    for (const slug of all) expect(slug).toMatch(/^blue-cup(-[0-9a-f]{6,24})?$/)
  })

  test('a file is listed once, from when it was published', async () => {
    const file = {
      modelId: training,
      filename: 'one.safetensors',
      url: 'https://x',
      size: 1,
      sha256: '0'.repeat(64),
    }
    expect(await folder.install(file)).toBe(training)
    await folder.install(file)
    await folder.install({ ...file, filename: 'one-low-noise.safetensors' })
    const all = await folder.list()
    expect(all.map(({ filename }) => filename).sort()).toEqual([
      'one-low-noise.safetensors',
      'one.safetensors',
    ])
    expect(all[0]).toMatchObject({ modelId: training, size: 1, publishedAt: expect.any(Date) })
    expect(await folder.list(all[0]?.publishedAt)).toContainEqual(all[0])
    expect(await folder.list(new Date(Date.now() + 60_000))).toEqual([])
  })

  test.runIf(world.name === 'MongoDB')('a registered model has every documented field', async () => {
    const { id } = await models.register(model(training))
    const document = await world
      .db()
      .collection('loraModels')
      .findOne({ _id: new ObjectId(id) })
    expect(document).toEqual({
      _id: new ObjectId(id),
      slug: 'blue-cup',
      name: 'Blue Cup',
      triggerWords: ['sks'],
      cognates: [],
      defaultWeight: 1,
      modelType: 'lora',
      checkpoint: 'SDXL',
      trainedFrom: {
        trainingId: new ObjectId(training),
        datasetId: new ObjectId('b'.repeat(24)),
        tool: 'bellows',
        steps: 10,
        baseModel: 'sdxl-tiny',
        duration: 60,
        finalLoss: 0.1,
        trainedAt: new Date(0),
      },
      tags: [{ tag: 'sdxl', source: 'training' }],
      description: 'SDXL LoRA, trained for 10 steps on sdxl-tiny.',
      examplePrompts: ['a sks cup'],
      previewImages: [],
      usageCount: 0,
      visibility: 'private',
      permissionType: 'private',
      createdBy: owner,
      ownedBy: owner,
      publishedTo: {
        cloudflareUrl: 'https://models.example/blue-cup.safetensors',
        modelFileUrl: 'https://models.example/blue-cup.safetensors',
        uploadedAt: expect.any(Date),
      },
      createdAt: expect.any(Date),
    })
  })
})
