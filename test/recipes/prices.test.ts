/** What can be bought by default and within which bounds an operator may set it. */
import { expect, test } from 'vitest'
import {
  defaultOfferings,
  mayNameImage,
  offeringSchema,
  offeringsSchema,
  pricePoints,
} from '../../src/recipes/offerings.ts'

test('without a file there are three offerings, at these prices', () => {
  expect(defaultOfferings).toEqual({
    'sdxl-lora': { family: 'SDXL', base: 'sdxl', usd: 2, maxCostUsd: 2, overrides: {} },
    'flux-lora': { family: 'FLUX', base: 'flux', usd: 6, maxCostUsd: 6, overrides: {} },
    'wan-lora': { family: 'WAN', base: 'wan', usd: 12, maxCostUsd: 12, overrides: {} },
  })
})

test('a price is rounded up to a point, by the fee and by what a dollar is', () => {
  const price = (offering: object, pointsPerUsd = 10_000, platformFee = 0.2) =>
    pricePoints(
      { family: 'SDXL', base: 'b', overrides: {}, ...offering },
      { steps: 1500 },
      { pointsPerUsd, platformFee },
    )
  expect(price({ usd: 2 }, 10_000, 0)).toBe(20_000)
  expect(price({ usd: 2 }, 100, 0.5)).toBe(300)
  expect(price({ usdPerThousandSteps: 2, usd: 0 }, 100, 0)).toBe(300)
  expect(price({ usd: 0.00011 }, 10_000, 0)).toBe(2)
  expect(price({ usd: 0.1 + 0.2 }, 10, 0)).toBe(3)
})

test.each<[string, object, object]>([
  ['a price in points', { pricePoints: 0 }, { pricePoints: -1 }],
  ['whole points', { pricePoints: 7 }, { pricePoints: 7.5 }],
  ['a price in dollars', { usd: 10_000 }, { usd: 10_001 }],
  ['a price that is no gift', { usd: 0 }, { usd: -0.01 }],
  ['a price by steps', { usd: 0, usdPerThousandSteps: 1000 }, { usd: 0, usdPerThousandSteps: 1001 }],
  ['a price by steps from 0', { usd: 0, usdPerThousandSteps: 0 }, { usd: 0, usdPerThousandSteps: -1 }],
  ['a cap', { usd: 1, maxCostUsd: 0.01 }, { usd: 1, maxCostUsd: 0 }],
  ['a base', { usd: 1, base: `b${'x'.repeat(63)}` }, { usd: 1, base: `b${'x'.repeat(64)}` }],
  ['an image', { usd: 1, image: 'i'.repeat(255) }, { usd: 1, image: 'i'.repeat(256) }],
])('%s has its bounds', (_, granted, refused) => {
  const parse = (fields: object) => offeringSchema.safeParse({ family: 'SDXL', base: 'b', ...fields }).success
  expect([parse(granted), parse(refused)]).toEqual([true, false])
})

test('an offering’s key is a word of at most 64 letters', () => {
  const parse = (key: string) =>
    offeringsSchema.safeParse({ [key]: { family: 'SDXL', base: 'b', usd: 1 } }).success
  expect([
    parse('a'),
    parse('x'.repeat(64)),
    parse('x'.repeat(65)),
    parse('A'),
    parse('-a'),
    parse(''),
  ]).toEqual([true, true, false, false, false, false])
})

test('an image that a job names is the same to the letter, or below a folder that ends with a slash', () => {
  const offering = {
    ...offeringSchema.parse({ family: 'SDXL', base: 'b', usd: 1 }),
    jobImages: ['a/b', 'c/'],
  }
  const named = ['a/b', 'a/bb', 'a', 'c/x', 'c', 'cx']
  expect(named.filter((image) => mayNameImage(offering, image))).toEqual(['a/b', 'c/x'])
})
