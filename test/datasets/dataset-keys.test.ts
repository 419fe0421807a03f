import { expect, test } from 'vitest'
import { belongsTo, defaultKeyPrefixes, wrongKeyPrefix } from '../../src/datasets/dataset-keys.ts'

const [id, ownerAccountId] = ['0123456789abcdef01234567', 'fedcba987654321001234567']
const dataset = { id, ownerAccountId }

test.for([
  `${id}/1.jpg`,
  `datasets/${id}/deep/below/1.jpg`,
  `${ownerAccountId}/1.jpg`,
  `datasets/${ownerAccountId}/1.jpg`,
  `users/${ownerAccountId}/a b+c (1).jpg`,
])('%s belongs to the dataset', (key) => {
  expect(belongsTo(key, dataset, defaultKeyPrefixes)).toBe(true)
})

test.for([
  '1.jpg',
  'users/aaaaaaaaaaaaaaaaaaaaaaaa/1.jpg',
  `datasets/${id}`,
  `datasets/${id}/`,
  `datasets/${id}x/1.jpg`,
  `x/datasets/${id}/1.jpg`,
  `DATASETS/${id}/1.jpg`,
  `datasets/${id.toUpperCase()}/1.jpg`,
  `datasets/${id}/../other/1.jpg`,
  `datasets/${id}/./1.jpg`,
  `datasets/${id}//1.jpg`,
  `datasets//${id}/1.jpg`,
  `/datasets/${id}/1.jpg`,
  `datasets/${id}/%2e%2e/other/1.jpg`,
  `datasets/${id}/%2E./other/1.jpg`,
  `datasets/${id}/..%2fother/1.jpg`,
  `datasets/${id}/%252e%252e/other/1.jpg`,
  `datasets/${id}/..\\other\\1.jpg`,
])('%s belongs to another user', (key) => {
  expect(belongsTo(key, dataset, defaultKeyPrefixes)).toBe(false)
})

test('a dataset whose id is no plain name owns nothing by it', () => {
  for (const odd of ['', '..', 'a/b', '{ownerAccountId}']) {
    const key = `datasets/${odd}/1.jpg`
    expect(belongsTo(key, { id: odd, ownerAccountId }, ['datasets/{datasetId}/'])).toBe(false)
  }
})

test('an operator can switch it off, and a pattern that protects nothing is refused', () => {
  expect(belongsTo('1.jpg', dataset, ['*'])).toBe(true)
  expect(defaultKeyPrefixes.map(wrongKeyPrefix)).toEqual(defaultKeyPrefixes.map(() => undefined))
  expect(wrongKeyPrefix('*')).toBeUndefined()
  expect(wrongKeyPrefix('images/')).toMatch(/neither/)
  expect(wrongKeyPrefix('{datasetId}')).toMatch(/does not end/)
  expect(wrongKeyPrefix('/{datasetId}/')).toMatch(/begins with/)
  expect(wrongKeyPrefix('{datasetId}/{trainingId}/')).toMatch(/placeholder/)
})
