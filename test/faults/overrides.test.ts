/** What people are told of overrides that were not understood, and that nothing was charged for. */
import { ObjectId } from 'mongodb'
import { expect, test } from 'vitest'
import { allEnded, insertJob } from './jobs.ts'
import { brokenPromises } from './promises.ts'
import { createWorld, type WorldOptions } from './world.ts'

async function run(fields: Record<string, unknown>, options: WorldOptions = {}) {
  const world = createWorld(options)
  await world.install()
  const id = await insertJob(world, fields)
  world.startWorker('worker')
  await world.clock.runUntil(() => allEnded(world, [id]), 4 * 3_600_000)
  expect(await brokenPromises(world, [id])).toEqual([])
  return { world, id, document: world.trainings.document(id) }
}

test.each<[string, unknown, string]>([
  ['trigger_word', 'redkite', 'triggerWord'],
  ['learning_rate', 1e-4, 'learningRate'],
])(
  'a job that says %s is refused before anything is charged, with what was meant',
  async (name, value, meant) => {
    const { world, id, document } = await run({ [name]: value })
    expect(document).toMatchObject({
      status: 'FAILED',
      failureReason: `This training can't be started: ${name} is no field of a training (did you mean ${meant}?). You have not been charged.`,
    })
    expect(document).not.toHaveProperty('costPoints')
    expect(await world.ledger.movements(id)).toEqual([])
  },
)

test('an operator can say that such a field belongs to another system', async () => {
  const { document } = await run({ learning_rate: 1e-4 }, { settings: { foreignFields: ['learning_rate'] } })
  expect(document?.status).toBe('COMPLETED')
})

test('a document with every field that the existing schema has, and some of other systems, is trained', async () => {
  const now = new Date()
  const { document } = await run({
    progress: 0,
    failureReason: '',
    startedAt: now,
    completedAt: now,
    costPoints: 0,
    paidAt: now,
    loraModelId: new ObjectId(),
    modelRepoUrl: '',
    triggerWords: ['redkite'],
    previewImages: [],
    modelName: 'Red kites',
    triggerWord: 'redkite',
    steps: 20,
    datasetImageCount: 4,
    walletAddress: '0x52908400098527886E0F7030069857D2E4169EE7',
    currentStep: 0,
    totalSteps: 20,
    currentLoss: 0.5,
    environment: 'production',
    __v: 3,
    _class: 'training',
    created_at: now,
    updated_at: now,
    userId: 'somebody',
    tags: ['birds'],
    type: 'lora',
    version: 2,
    name: 'Red kites',
    priority: 1,
    model: 'SDXL',
    notes: '',
    archived: false,
  })
  expect(document).toMatchObject({ status: 'COMPLETED' })
})
