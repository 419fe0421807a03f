import { expect, test } from 'vitest'
import { headerLength, parseHeader } from '../../src/models/artifact-header.ts'
import { threadTime } from '../support/thread-time.ts'

const tensor = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'

test.for<[string, string]>([
  ['a million numbers in a shape', `{"a":{"dtype":"F32","shape":[${'-1,'.repeat(600_000)}1]}}`],
  ['a hundred thousand tensors', `{${Array.from({ length: 100_000 }, (_, at) => `"${at}":1`).join()}}`],
  ['as many offsets', `{"a":{"dtype":"F32","shape":[1],"data_offsets":[${'"",'.repeat(600_000)}1]}}`],
  ['as deep as it is long', `{"a":${'['.repeat(900_000)}${']'.repeat(900_000)}}`],
  ['a name of megabytes', `{"${'x'.repeat(1_900_000)}":${tensor}}`],
])('a header with %s is refused before a timer of the worker is late', ([, json]) => {
  const before = threadTime()
  expect(() => parseHeader(Buffer.from(json), json.length + 12)).toThrow(/header|tensor|dimensions/)
  expect(threadTime() - before).toBeLessThan(200)
})

test('a header that is longer than any LoRA has is not read', () => {
  const start = Buffer.alloc(8)
  start.writeBigUInt64LE(2_000_001n)
  expect(() => headerLength(start, 100_000_000)).toThrow('does not begin like')
})

test('escape sequences in the name of a tensor never get through', () => {
  const json = `{"a\\u001b[2Jb":${tensor}}`
  expect(() => parseHeader(Buffer.from(json), json.length + 12)).toThrow(/^[\x20-\x7e]*$/)
})
