/** What a job's document, and the model that it makes, tell. */
import { ObjectId } from 'mongodb'
import { expect, test } from 'vitest'
import { allEnded, insertJob } from './jobs.ts'
import { createWorld, type World } from './world.ts'

const hour = 3_600_000
const captionSet = new ObjectId()
const older = new ObjectId()
const captionSets = [
  { _id: older, captions: ['old', 'old', 'old', 'old'], createdAt: new Date('2026-01-01') },
  {
    _id: captionSet,
    captions: ['a kite', 'two kites', 'a hill', ''],
    createdAt: new Date('2026-02-01'),
  },
]

async function trained(world: World, fields: object = {}, dataset: object = {}) {
  await world.install()
  const id = await insertJob(world, { ...fields }, { ...dataset })
  world.startWorker('worker')
  await world.clock.runUntil(() => allEnded(world, [id]), 4 * hour)
  return { document: world.trainings.document(id), model: world.models.all()[0] }
}

test('the model names its sample prompts and the caption set that trained it, though a newer one exists', async () => {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world, { triggerWord: 'redkite' }, { captionSets })
  world.startWorker('worker')
  await world.clock.runUntil(() => world.events.some(({ kind }) => kind === 'step'), hour)
  const datasetId = world.trainings.document(id)?.datasetId as ObjectId
  captionSets.push({ _id: new ObjectId(), captions: ['new'], createdAt: new Date('2027-01-01') })
  expect((await world.datasets.read(datasetId.toHexString()))?.captions).toEqual(['new'])
  await world.clock.runUntil(() => allEnded(world, [id]), 4 * hour)
  expect(world.models.all()).toMatchObject([
    {
      captionSetId: captionSet.toHexString(),
      examplePrompts: ['redkite, a kite', 'redkite, two kites', 'redkite, a hill'],
    },
  ])
})

test('who trains on a dataset of their own is credited as the trainer, and the timeline speaks of nobody else', async () => {
  const world = createWorld()
  const owner = new ObjectId()
  const { document } = await trained(world, { ownerAccountId: owner }, { ownerAccountId: owner })
  const id = String(document?._id)
  const messages = (await world.timeline.read(id)).map(({ message }) => message)
  expect(messages.filter((message) => message.startsWith('credited'))).toEqual([
    'credited the trainer with 100 points',
  ])
  const credits = (await world.ledger.movements(id)).filter(({ key }) => key.startsWith('credit:'))
  expect(credits.map(({ points }) => points)).toEqual([100])
})

test('a model that was trained without a caption names no caption set', async () => {
  const empty = [{ _id: older, captions: ['', ''], createdAt: new Date() }]
  const { model } = await trained(createWorld(), {}, { captionSets: empty })
  expect(model?.captionSetId).toBeUndefined()
  expect(model?.examplePrompts).toEqual(['a photograph'])
})

test('a document shows progress 0 from its claim on, and a run after another begins at 0', async () => {
  const world = createWorld({ turnMs: () => 3000 })
  await world.install()
  const id = await insertJob(world)
  const claimed: unknown[] = []
  const charged: unknown[] = []
  world.startWorker('worker', {
    before({ port, verb }) {
      if (port === 'runs' && verb === 'acquire') claimed.push(world.trainings.document(id)?.progress)
      if (port === 'ledger' && verb === 'charge') charged.push(world.trainings.document(id)?.progress)
    },
  })
  await world.clock.runUntil(() => world.events.some(({ message }) => /^step 6 of/.test(message)), hour)
  world.trainings.set(id, { status: 'CANCELLED' })
  await world.clock.runUntil(() => allEnded(world, [id]), hour)
  expect(world.trainings.document(id)?.progress).toBeGreaterThan(0)
  expect([claimed[0], charged]).toEqual([0, [0]])
  world.trainings.set(id, { status: 'QUEUED' })
  await world.clock.runUntil(() => charged.length === 2, hour)
  expect(charged[1]).toBe(0)
})

test('a stranger is not told a private dataset’s name', async () => {
  const { document } = await trained(createWorld(), {}, { visibility: 'private', name: 'My divorce' })
  expect(document?.status).toBe('FAILED')
  expect(document?.failureReason).toMatch(
    /^The dataset can't be trained on: the dataset [0-9a-f]{24} belongs to another account, which has not shared it\./,
  )
  expect(JSON.stringify(document)).not.toContain('divorce')
})

const broken: readonly (readonly [what: string, fields: object, ofItsOwner: RegExp])[] = [
  ['no list of images', { images: { secret: 1 } }, /it has no list of images/],
  ['an image without an address', { images: ['secret.jpg', 7] }, /image 2 has no address/],
  ['no image', { images: [] }, /"My divorce" has no images/],
  ['a status of its own', { status: 'secret' }, /its status is "secret"/],
  ['too few images', { images: ['1.jpg'] }, /it has 1 image; at least/],
  ['a missing file', { images: ['secret.jpg', '2.jpg', '3.jpg'] }, /image 1 \(secret\.jpg\) is missing/],
  [
    'captions too many',
    { captionSets: [{ captions: Array(7).fill('secret'), createdAt: new Date() }] },
    /7 captions/,
  ],
]

const privately = { visibility: 'private', name: 'My divorce' }

test.each(broken)(
  'what is wrong with a private dataset is its owner’s to know, and nobody else’s: %s',
  async (_, fields, ofItsOwner) => {
    const [owner, friend] = [new ObjectId(), new ObjectId()]
    const dataset = { ...privately, ...fields, ownerAccountId: owner, accessControl: [friend] }
    const reasonTold = async (ownerAccountId: ObjectId) => {
      const { document } = await trained(createWorld({ prepareDataset: 'real' }), { ownerAccountId }, dataset)
      expect(document?.status).toBe('FAILED')
      return `${document?.failureReason}`
    }
    expect(await reasonTold(owner)).toMatch(ofItsOwner)
    expect(await reasonTold(friend)).toMatch(
      /^The dataset can't be trained on: something is wrong with the dataset [0-9a-f]{24}, and what it is only its owner is told\. You have not been charged\.$/,
    )
    expect(await reasonTold(new ObjectId())).toMatch(/belongs to another account, which has not shared it/)
  },
)

test('what is wrong with a private dataset that is shared is in the evidence, for the operator', async () => {
  const friend = new ObjectId()
  const world = createWorld({ prepareDataset: 'real' })
  const dataset = { ...privately, images: ['1.jpg'], accessControl: [friend] }
  const { document } = await trained(world, { ownerAccountId: friend }, dataset)
  const events = await world.timeline.read(String(document?._id))
  expect(JSON.stringify(events)).toContain('it has 1 image; at least')
})

test.each([65, 20_000])(
  'a trigger word of %d characters is refused, not shortened, before anything is read',
  async (length) => {
    const world = createWorld()
    const { document } = await trained(world, { triggerWord: 'k'.repeat(length) })
    const most = length > 10_000 ? 10_000 : 64
    expect(document).toMatchObject({
      status: 'FAILED',
      failureReason: `This training can't be started: triggerWord has ${length} characters, but may have at most ${most}. You have not been charged.`,
    })
  },
)

test('a trigger word of 64 characters is taken as it is', async () => {
  const { model } = await trained(createWorld(), { triggerWord: 'k'.repeat(64) })
  expect(model?.triggerWords).toEqual(['k'.repeat(64)])
})

const hostile = { toString: 'x', valueOf: 'x', toJSON: 'x', constructor: 'x' }
const jobFields =
  'datasetId ownerAccountId offeringId baseModel progress failureReason createdAt costPoints modelName triggerWord steps environment walletAddress rank samplePrompts trainerImage'
const datasetFields =
  'name ownerAccountId status visibility images captionSets accessControl usageCount createdAt trainingIds'

test.each(jobFields.split(' '))(
  'an object with a toString of its own as a job’s %s is no internal error',
  async (field) => {
    const world = createWorld()
    const { document } = await trained(world, { [field]: hostile })
    expect(['COMPLETED', 'FAILED']).toContain(document?.status)
    if (field !== 'failureReason') expect(`${document?.failureReason ?? ''}`).not.toContain('[object')
    const id = String(document?._id)
    expect((await world.runs.read(id))?.outcome?.ending).not.toBe('internal')
    expect(world.errors).toEqual([])
  },
)

test.each(datasetFields.split(' '))('… nor as its dataset’s %s', async (field) => {
  const world = createWorld()
  const { document } = await trained(world, {}, { [field]: hostile })
  expect((await world.runs.read(String(document?._id)))?.outcome?.ending).toMatch(/^(trained|bad-dataset)$/)
  expect(world.errors).toEqual([])
})

test('… nor as a caption set’s status, and as a job’s status it is told as not understood', async () => {
  const world = createWorld()
  const { document } = await trained(world, {}, { captionSets: [{ ...captionSets[0], status: hostile }] })
  expect(document?.status).toBe('COMPLETED')
  world.trainings.insert({ status: hostile })
  expect(await world.trainings.notUnderstood()).toMatchObject({
    count: 1,
    examples: [expect.stringMatching(/its status is an object/)],
  })
})
