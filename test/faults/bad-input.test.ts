/**
 * Bad input through the whole workflow: real images, decoded for real, in a simulated deployment. Beside each bad
 * job a good one is queued, and it must not notice.
 */
import { Decimal128, Long, ObjectId } from 'mongodb'
import { expect, test } from 'vitest'
import { animation, decompressionBomb, noise, picture } from '../support/pictures.ts'
import { allEnded, insertJob } from './jobs.ts'
import { brokenPromises } from './promises.ts'
import { unpack } from './unpack.ts'
import { createWorld, imagesUrl, type World, type WorldOptions } from './world.ts'

const hour = 3_600_000

type Fields = Record<string, unknown>

/** What is wrong, in fields of the job's or the dataset's document and in image files by key. */
type Bad = {
  readonly job?: Fields
  readonly dataset?: Fields
  readonly files?: Readonly<Record<string, Buffer>>
  readonly world?: WorldOptions
}

const good = await noise().jpeg().toBuffer()
const goodKeys = ['good/1.jpg', 'good/2.jpg', 'good/3.jpg', 'good/4.jpg'] as const

async function runBeside({ job = {}, dataset = {}, files = {}, world: options = {} }: Bad) {
  const world = createWorld({ prepareDataset: 'real', ...options })
  await world.install()
  for (const [key, bytes] of Object.entries({
    ...Object.fromEntries(goodKeys.map((each) => [each, good])),
    ...files,
  }))
    await world.store.write({ bucket: 'datasets', key }, bytes, 'image/jpeg')
  const bad = await insertJob(world, job, { images: [...goodKeys], ...dataset })
  const other = await insertJob(world, {}, { images: [...goodKeys] })
  const archives = new Map<string, Buffer>()
  world.startWorker('worker', {
    // the archive is scratch, and gone with its job: a copy of it is kept here
    async before({ port, verb }) {
      if (port !== 'machines' || verb !== 'order') return
      for (const object of await world.store.list('work', `jobs/${bad}/dataset.tar`))
        archives.set(bad, await world.store.read(object))
    },
  })
  await world.clock.runUntil(() => allEnded(world, [bad, other]), 2 * hour)
  expect(await brokenPromises(world, [bad, other])).toEqual([])
  expect(world.trainings.document(other)).toMatchObject({ status: 'COMPLETED' })
  return { world, id: bad, archive: archives.get(bad) }
}

/** Words of ours, of libraries and of runtimes that mean nothing to the user who pressed the button. */
const internal = /\bat .+:\d+|Error:|zod|mongo|sharp|vips|undefined|null|\[object|stack|lease|prefix|src\//i

async function expectRefused(bad: Bad, complaint: RegExp | string): Promise<void> {
  const { world, id } = await runBeside(bad)
  const { status, failureReason } = world.trainings.document(id) ?? {}
  expect(status).toBe('FAILED')
  if (typeof complaint === 'string') expect(failureReason).toBe(complaint)
  else expect(failureReason).toMatch(complaint)
  expectReadable(String(failureReason))
  expect(world.machines.made().filter(({ order }) => order.trainingId === id)).toEqual([])
  expect(await world.ledger.movements(id)).toEqual([])
  expect(world.alerts.said).toEqual([])
}

function expectReadable(sentence: string): void {
  expect(sentence).toMatch(/^[A-Z].*[.]$/)
  expect(sentence).not.toMatch(internal)
  expect(sentence).not.toMatch(/\p{Cc}/u)
  expect(sentence.length).toBeLessThan(700)
}

async function expectTrained(bad: Bad): Promise<{ world: World; id: string; archive: Buffer }> {
  const { world, id, archive } = await runBeside(bad)
  expect(world.trainings.document(id)).toMatchObject({ status: 'COMPLETED', progress: 100 })
  return { world, id, archive: archive ?? Buffer.alloc(0) }
}

const missing = undefined

test.each<[string, Fields, RegExp]>([
  ['names no account', { ownerAccountId: missing }, /ownerAccountId is missing/],
  [
    'names its account as a text',
    { ownerAccountId: '65f1c0ffee' },
    /ownerAccountId is the text "65f1c0ffee"/,
  ],
  ['names no dataset', { datasetId: missing }, /datasetId is missing/],
  ['names its dataset as a text', { datasetId: 'my kites' }, /datasetId is the text "my kites", not an/],
  ['names its dataset as an object', { datasetId: { $ne: null } }, /datasetId is an object/],
  ['names no offering', { offeringId: missing }, /offeringId is missing/],
  ['names its offering as a number', { offeringId: 7 }, /offeringId is the number 7/],
  [
    'names an image that its offering does not allow',
    { trainerImage: 'evil.example/x' },
    /its trainerImage is "evil\.example\/x", which the offering "sdxl-lora" does not allow/,
  ],
  ['names an image that is no text', { trainerImage: { $ne: '' } }, /its trainerImage is no text/],
  ['names no base model', { baseModel: missing }, /baseModel is missing/],
  ['names its base model as a list', { baseModel: ['SDXL'] }, /baseModel is a list/],
  ['has a model name that is an object', { modelName: { $gt: '' } }, /modelName is an object/],
  ['has a trigger word that is a list', { triggerWord: ['kite'] }, /triggerWord is a list/],
  ['has steps that are a text', { steps: 'many' }, /steps is the text "many"/],
  ['has steps that are no number', { steps: Number.NaN }, /steps is the number NaN/],
  ['was made at a text', { createdAt: 'yesterday' }, /createdAt is the text "yesterday"/],
])('a job that %s is refused', (_, job, complaint) => expectRefused({ job }, complaint))

test('a job whose _id is a plain text is refused', () =>
  expectRefused({ job: { _id: 'kite-training' } }, /_id is the text "kite-training", not an ObjectId/))

test('a text in a wrong place is shown on one line and cut short', () =>
  expectRefused(
    { job: { datasetId: `a\n\u0000b${'x'.repeat(5000)}` } },
    /datasetId is the text "a b?x+…", not an ObjectId/,
  ))

test.each<[string, Fields, RegExp]>([
  ['unknown base model', { baseModel: 'SD9' }, /no base model "SD9"; choose one of SDXL, FLUX, WAN/],
  [
    'base model named with quotes and newlines',
    { baseModel: '"\n<b>' },
    /no base model "" <b>"; choose one of/,
  ],
  ['unknown offering', { offeringId: 'gold' }, /no offering "gold"; choose one of sdxl-lora/],
  ["offering named as an object's own member", { offeringId: '__proto__' }, /no offering "__proto__"/],
  ['base model that the offering does not train', { baseModel: 'FLUX' }, /"sdxl-lora" trains SDXL, not FLUX/],
])('a job with a %s is refused', (_, job, complaint) => expectRefused({ job }, complaint))

test('a job whose dataset does not exist is refused', () =>
  expectRefused({ job: { datasetId: new ObjectId('0123456789abcdef01234567') } }, /there is no dataset/))

test.each<[string, Fields, RegExp]>([
  ['empty', { images: [] }, /"Red kites" has no images/],
  ['a draft', { status: 'draft' }, /"Red kites" is not ready \(its status is "draft"\)/],
  ['archived', { status: 'archived' }, /not ready \(its status is "archived"\)/],
  ['without a status', { status: missing }, /is not ready/],
  [
    'private',
    { visibility: 'private' },
    /the dataset [0-9a-f]{24} belongs to another account, which has not shared it/,
  ],
  ['of a visibility that is no text', { visibility: 3 }, /belongs to another account/],
  [
    'private and shared with another user',
    { visibility: 'private', accessControl: [new ObjectId()] },
    /has not shared it/,
  ],
  ['without an owner', { ownerAccountId: missing }, /it has no valid owner/],
  ['without a list of images', { images: 'good/1.jpg' }, /it has no list of images/],
  ['with an image that is no text', { images: ['good/1.jpg', 7] }, /image 2 has no address/],
  ['too small', { images: goodKeys.slice(0, 2) }, /it has 2 images; at least 3 are needed/],
  ['too large', { images: Array(501).fill(goodKeys[0]) }, /it has 501 images; at most 500 can be/],
  [
    'captioned more often than it has images',
    { captionSets: [{ captions: ['a', 'b', 'c', 'd', 'e'], createdAt: new Date() }] },
    /5 captions for 4 images, so which belongs to which is unknown/,
  ],
])('a job whose dataset is %s is refused', (_, dataset, complaint) => expectRefused({ dataset }, complaint))

test('a private dataset trains for an account that it is shared with', async () => {
  const ownerAccountId = new ObjectId()
  await expectTrained({
    job: { ownerAccountId },
    dataset: { visibility: 'private', accessControl: [ownerAccountId] },
  })
})

test.each(['unlisted', 'public'])('a dataset that is %s trains for any user', async (visibility) => {
  await expectTrained({ dataset: { visibility } })
})

test('a private dataset trains for its owner, who is credited once', async () => {
  const ownerAccountId = new ObjectId()
  const world = createWorld({ prepareDataset: 'real' })
  await world.install()
  for (const key of goodKeys) await world.store.write({ bucket: 'datasets', key }, good, 'image/jpeg')
  const id = await insertJob(
    world,
    { ownerAccountId },
    { visibility: 'private', ownerAccountId, images: [...goodKeys] },
  )
  world.startWorker('worker')
  await world.clock.runUntil(() => allEnded(world, [id]), hour)
  expect(world.trainings.document(id)?.status).toBe('COMPLETED')
  const credits = (await world.ledger.movements(id)).filter(({ points }) => points > 0)
  expect(credits.map(({ key }) => key)).toEqual([`credit:${id}:trainer`])
})

const outside = /image 4 \(.*\) is not in the datasets store: only files that were uploaded there can be/

test.each<[string, string, RegExp]>([
  ['is not there', 'lost/kite.jpg', /image 4 \(kite\.jpg\) is missing: the file is not in the store/],
  ['is not there on the public domain', `${imagesUrl}/lost.jpg`, /image 4 \(lost\.jpg\) is missing/],
  ['is at a private address', 'http://10.0.0.1/kite.jpg', outside],
  ['is at the loopback address', 'http://127.0.0.1:27017/kite.jpg', outside],
  ['is at the address of machine credentials', 'http://169.254.169.254/latest/meta-data/iam/', outside],
  ['is at a private IPv6 address', 'http://[fd00::1]/kite.jpg', outside],
  ["is on another host's credentials page", 'https://login.example/credentials', outside],
  ['names another host behind ours', 'https://images.example@evil.example/good/1.jpg', outside],
  ['names a host that begins like ours', 'https://images.example.evil.example/good/1.jpg', outside],
  ['is on our host at another port', 'https://images.example:8443/good/1.jpg', outside],
  ['is on our host without encryption', 'http://images.example/good/1.jpg', outside],
  ['is in another bucket', 's3://models/loras/secret.safetensors', outside],
  ["is a file of the worker's disk", 'file:///etc/passwd', outside],
  ['is in its own address', 'data:image/png;base64,iVBORw0KGgo=', outside],
  ['climbs out of its folder', 'good/../../models/secret', /climbs out of its folder/],
  ['climbs in a URL', `${imagesUrl}/good/%2e%2e/%2e%2e/secret`, /climbs out of its folder/],
  ['climbs in an s3 address', 's3://datasets/../models/secret', /climbs out of its folder/],
  ['has a newline in its address', 'good/1.jpg\nHost: evil', /control character in its address/],
  ['is 2,000 characters away', `good/${'x'.repeat(2000)}`, /an address longer than 1024 bytes/],
])('a job with an image that %s is refused', (_, image, complaint) =>
  expectRefused({ dataset: { images: [...goodKeys.slice(0, 3), image] } }, complaint),
)

test.each<[string, () => Promise<Buffer> | Buffer, RegExp]>([
  ['no image', () => Buffer.from('<html>Not found</html>'), /is not a picture in JPEG, PNG/],
  ['empty', () => Buffer.alloc(0), /image 4 \(bad\.jpg\) is empty/],
  ['cut off', () => good.subarray(0, good.length / 2), /is (broken or )?cut off/],
  ['a decompression bomb', () => decompressionBomb(), /pixels/],
  ['larger than can be read', () => Buffer.alloc(65 * 1024 * 1024), /has 65 MB, at most 64 can be read/],
  ['tiny', () => picture(100, 100).png().toBuffer(), /too small: 100 × 100 pixels, at least 256 a side/],
  [
    'a drawing that could read other files',
    () => Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="999" height="999"/>'),
    /is not a picture/,
  ],
])('a job with a file that is %s is refused', async (_, make, complaint) =>
  expectRefused(
    {
      dataset: { images: [...goodKeys.slice(0, 3), 'sets/bad.jpg'] },
      files: { 'sets/bad.jpg': await make() },
    },
    complaint,
  ),
)

test('everything that is wrong with the images is told at once', () =>
  expectRefused(
    {
      dataset: { images: ['a.jpg', 'good/1.jpg', 'http://10.0.0.1/b.jpg', '../c.jpg', 'd.jpg', 'e.jpg'] },
    },
    "The dataset can't be trained on: image 1 (a.jpg) is missing: the file is not in the store; " +
      'image 3 (b.jpg) is not in the datasets store: only files that were uploaded there can be trained on; ' +
      'image 4 (c.jpg) has an address that climbs out of its folder; and 2 more. You have not been charged.',
  ))

test('CMYK, an animation, an EXIF rotation and every form of address are cleaned up, and trained', async () => {
  const rotated = await noise().resize(300, 600).withMetadata({ orientation: 6 }).jpeg().toBuffer()
  const { world, id, archive } = await expectTrained({
    dataset: {
      images: [`${imagesUrl}/odd/cmyk.jpg`, 's3://datasets/odd/moving.gif', '/odd/rotated.jpg', 'good/1.jpg'],
      captionSets: [{ captions: ['a red kite\nin the\u0000sky', "it's", '"quoted"'], createdAt: new Date() }],
    },
    files: {
      'odd/cmyk.jpg': await noise().toColourspace('cmyk').jpeg().toBuffer(),
      'odd/moving.gif': await animation(),
      'odd/rotated.jpg': rotated,
    },
  })
  const files = await unpack(archive)
  expect([...files.keys()].filter((name) => !name.endsWith('.txt'))).toEqual([
    '00001.jpg',
    '00002.png',
    '00003.jpg',
    '00004.jpg',
  ])
  const metadata = async (name: string) => {
    const { default: sharp } = await import('sharp')
    return sharp(files.get(name)).metadata()
  }
  expect(await metadata('00001.jpg')).toMatchObject({ space: 'srgb', channels: 3 })
  expect(await metadata('00003.jpg')).toMatchObject({ width: 600, height: 300 })
  expect(files.get('00001.txt')?.toString()).toBe('a red kite in the sky')
  const warnings = (await world.timeline.read(id)).filter(({ kind }) => kind === 'warning')
  expect(warnings.map(({ message }) => message)).toEqual([
    '1 of 4 images have no caption and are trained without one.',
    'image 2 (moving.gif) is animated: only its first frame is used.',
  ])
})

test.each<[string, string]>([
  ['path separators', '../../etc/passwd'],
  ['quotes and a command', `"; rm -rf / #'$(reboot)\``],
  ['newlines and control characters', 'kite\r\n\u0000\u001b[31m'],
  ['300 characters', 'kite'.repeat(75)],
  ['nothing that a file name may have', '猛禽 🪁'],
])('a model name with %s is trained under a file name that is safe', async (_, modelName) => {
  const { world, id } = await expectTrained({ job: { modelName, triggerWord: modelName.slice(0, 64) } })
  const [model] = world.models.all().filter(({ trainingId }) => trainingId === id)
  const { plan } = (await world.runs.read(id)) ?? {}
  expect(plan?.name).toMatch(/^[a-z0-9][a-z0-9-]{0,60}$/)
  expect(plan?.triggerWord ?? '').not.toMatch(/\p{Cc}/u)
  expect((plan?.triggerWord ?? '').length).toBeLessThanOrEqual(64)
  expect(model?.name).not.toMatch(/\p{Cc}/u)
  for (const { key } of await world.store.list('models', '')) expect(key).toMatch(/^loras\/[\w/.-]+$/)
})

test('a trigger word that is too long is refused, not cut: users would not type what is left', () =>
  expectRefused(
    { job: { triggerWord: 'kite'.repeat(75) } },
    /triggerWord has 300 characters, but may have at most 64/,
  ))

test('numbers of every kind that the database knows are overrides', async () => {
  const { world, id } = await expectTrained({
    job: { steps: Long.fromNumber(12), rank: Decimal128.fromString('8') },
  })
  expect((await world.runs.read(id))?.plan).toMatchObject({ steps: 12, adapter: { rank: 8 } })
})

test.each<[string, Fields, RegExp]>([
  ['a billion steps', { steps: 1e9 }, /steps is 1000000000, but must be a whole number from 10 to 10000/],
  ['no steps', { steps: 0 }, /steps is 0, but must be/],
  ['half a step', { steps: 10.5 }, /steps is 10\.5, but must be/],
  ['a negative rank', { rank: -4 }, /rank is -4, but must be a whole number from 1 to 128/],
  ['a rank that is a text', { rank: 'high' }, /rank is the text "high", but must be/],
  ['a learning rate beyond reason', { learningRate: 1e9 }, /learningRate is 1000000000, but must be/],
  ['an unknown optimizer', { optimizer: 'magic\n' }, /optimizer is the text "magic", but must be one of/],
  [
    'a wall of sample prompts',
    { samplePrompts: Array(9).fill('kite') },
    /samplePrompts is .* a list of 1 to 8/,
  ],
  ['an object for a seed', { seed: { $gt: 0 } }, /seed is \{"\$gt":0\}, but must be/],
])('a job that asks for %s is refused', (_, job, complaint) => expectRefused({ job }, complaint))

test('a job that its account cannot pay for is refused', () =>
  expectRefused(
    { world: { settings: { offerings: dear } }, job: { offeringId: 'dear' } },
    'There are not enough points for this training: it costs 9000 points, and the balance is 5000. ' +
      'You have not been charged.',
  ))

const dear = {
  'sdxl-lora': {
    family: 'SDXL',
    base: 'tiny',
    pricePoints: 1000,
    overrides: { steps: 12, checkpointEvery: 4 },
  },
  dear: { family: 'SDXL', base: 'tiny', pricePoints: 9000, overrides: {} },
} as const
