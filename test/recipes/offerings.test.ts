import { describe, expect, it } from 'vitest'
import {
  defaultOfferings,
  mayNameImage,
  offeringSchema,
  offeringsSchema,
  pricePoints,
} from '../../src/recipes/offerings.ts'

const rates = { pointsPerUsd: 10_000, platformFee: 0.2 }
const plan = { steps: 1500 }

describe('offerings', () => {
  it('are there without a file, one for each family', () => {
    expect(offeringsSchema.parse(defaultOfferings)).toEqual(defaultOfferings)
    expect(Object.keys(defaultOfferings)).toEqual(['sdxl-lora', 'flux-lora', 'wan-lora'])
  })

  it('cost what the operator says: points as they are, dollars with the fee', () => {
    const price = (offering: object) =>
      pricePoints({ family: 'SDXL', base: 'b', overrides: {}, ...offering }, plan, rates)
    expect(price({ pricePoints: 777 })).toBe(777)
    expect(price({ usd: 2 })).toBe(24_000)
    expect(price({ usd: 0.3 })).toBe(3_600)
    expect(price({ usd: 0.00001 })).toBe(1)
    expect(price({ usd: 0 })).toBe(0)
    expect(price({ usd: 1, usdPerThousandSteps: 2 })).toBe(48_000)
  })

  it.each<[string, unknown, boolean]>([
    ['one that is named', 'registry.example/trainer:2', true],
    ['another tag of it', 'registry.example/trainer:3', false],
    ['one below a folder', 'registry.example/lab/flux@sha256:00', true],
    ['a folder of another host', 'registry.example.evil.example/lab/flux', false],
    ['an option', '--privileged', false],
    ['two words', 'registry.example/lab/flux --privileged', false],
    ['no text', { $ne: '' }, false],
  ])('let a job name its own image from what they list: %s', (_, image, allowed) => {
    const jobImages = ['registry.example/trainer:2', 'registry.example/lab/']
    const offering = offeringSchema.parse({ family: 'SDXL', base: 'b', usd: 1, jobImages })
    expect(mayNameImage(offering, image)).toBe(allowed)
    expect(mayNameImage({ ...offering, jobImages: undefined }, image)).toBe(false)
  })

  it.each<[string, object]>([
    ['an image that is an option', { usd: 1, image: '--privileged' }],
    ['no price', {}],
    ['two prices', { pricePoints: 1, usd: 1 }],
    ['a price by steps on top of a whole one', { pricePoints: 1, usdPerThousandSteps: 1 }],
    ['an override out of bounds', { usd: 1, overrides: { rank: 1000 } }],
    ['a misspelt override', { usd: 1, overrides: { learning_rate: 1e-4 } }],
    ['a name that climbs', { usd: 1, base: '../x' }],
    ['an unknown family', { usd: 1, family: 'SD15' }],
    ['a misspelt field', { usd: 1, prise: 3 }],
  ])('are refused with %s', (_, fields) => {
    expect(offeringsSchema.safeParse({ x: { family: 'SDXL', base: 'b', ...fields } }).success).toBe(false)
  })
})
