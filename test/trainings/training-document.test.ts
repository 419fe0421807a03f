import { BSON, Decimal128, Double, Int32, Long, ObjectId } from 'mongodb'
import { expect, test } from 'vitest'
import { clampPercent, notUnderstood, ownerOf, trainingFrom } from '../../src/trainings/training-document.ts'

const megabytes = 'n'.repeat(15_000_000)
const document = {
  _id: new ObjectId(),
  status: 'QUEUED',
  ownerAccountId: new ObjectId(),
  datasetId: new ObjectId(),
  offeringId: 'sdxl-lora',
  baseModel: 'SDXL',
  createdAt: new Date(),
}

test.each([
  'modelName',
  'triggerWord',
  'offeringId',
  'baseModel',
  'samplePrompts',
  'trainerImage',
  'notes',
  'ownerAccountId',
])('a document with 15 MB of %s is read in under 50 ms, and nothing of that length comes out', (field) => {
  const given = { ...document, [field]: megabytes }
  const before = process.cpuUsage()
  const training = trainingFrom(given)
  expect(process.cpuUsage(before).user).toBeLessThan(50_000)
  expect(JSON.stringify(training).length).toBeLessThan(10_000)
  expect((ownerOf(given) ?? '').length).toBeLessThan(100)
})

test.each(['modelName', 'triggerWord', 'offeringId'])(
  'a %s that is too long is told with its length',
  (field) => {
    expect(trainingFrom({ ...document, [field]: megabytes }).problems).toContain(
      `${field} has 15000000 characters, but may have at most 10000`,
    )
  },
)

test('long lists, wide objects and long names of fields are bounded too', () => {
  const wide = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`f${index}`, index]))
  const given = { ...document, list: Array.from({ length: 500_000 }, () => 'x'), wide, [megabytes]: 1 }
  const before = process.cpuUsage()
  const { overrides } = trainingFrom(given)
  expect(process.cpuUsage(before).user).toBeLessThan(50_000)
  expect(JSON.stringify(overrides).length).toBeLessThan(50_000)
})

test('text is cut between characters', () => {
  const { overrides, problems } = trainingFrom({
    ...document,
    notes: `a${'😀'.repeat(3000)}`,
    steps: `a${'😀'.repeat(100)}`,
  })
  for (const text of [JSON.stringify(overrides), ...problems]) {
    expect(text.isWellFormed()).toBe(true)
    expect(text).not.toContain('\\ud83d')
  }
  expect(BSON.deserialize(BSON.serialize(overrides))).toEqual(overrides)
})

test('a document whose _id is an object of any shape can be told as not understood', () => {
  for (const _id of [{ toString: 'x' }, { toJSON: 'x' }, { _bsontype: 'x' }, { _bsontype: 'ObjectId' }])
    expect(notUnderstood({ _id, status: 'QUEUED' })).toMatch(/its _id is an object, neither an ObjectId/)
})

test('numbers of every kind that BSON has are read as numbers', () => {
  const kinds = [
    1200,
    Long.fromNumber(1200),
    new Int32(1200),
    new Double(1200),
    Decimal128.fromString('1200'),
  ]
  expect(kinds.map((steps) => trainingFrom({ ...document, steps }).steps)).toEqual(Array(5).fill(1200))
})

test.each([
  [-1, 0],
  [33.333, 33.3],
  [99.97, 100],
  [100.6, 100],
])('progress of %d %% is shown as %d', (given, shown) => {
  expect(clampPercent(given)).toBe(shown)
})
