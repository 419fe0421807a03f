import { expect, test } from 'vitest'
import { modelIdFor, slugs } from '../../src/models/slug.ts'

const id = '0123456789abcdef01234567'

test.each([
  ['Blue Cup', 'blue-cup'],
  ['  Élan & Vital!! ', 'elan-vital'],
  ['x'.repeat(80), 'x'.repeat(64)],
  [`${'x'.repeat(63)} y`, 'x'.repeat(63)],
  ['日本', 'lora'],
  ['', 'lora'],
])('the name %j becomes %s, then with a part of the id, then with all of it', (name, stem) => {
  const [first, second, third, ...more] = slugs(name, id)
  expect(first).toBe(stem)
  expect(second).toBe(`${stem.slice(0, 57)}-012345`)
  expect(third).toBe(`${stem.slice(0, 39)}-${id}`)
  expect(more).toEqual([])
  for (const slug of [second, third]) expect(slug?.length).toBeLessThanOrEqual(64)
})

test('a model’s id follows from its training, and is another for another', () => {
  expect(modelIdFor(id)).toMatch(/^[0-9a-f]{24}$/)
  expect(modelIdFor(id)).toBe(modelIdFor(id))
  expect(modelIdFor(id)).not.toBe(modelIdFor(id.replace('0', '1')))
})
