import { expect, test } from 'vitest'
import { type Market, type OfferLimits, offersIn } from '../../../src/cloud/aws/offers.ts'

const east: Market = {
  region: 'us-east-1',
  places: [
    { type: 'g6.xlarge', zone: 'us-east-1a' },
    { type: 'g5.xlarge', zone: 'us-east-1a' },
    { type: 'g6e.xlarge', zone: 'us-east-1b' },
  ],
  spot: [
    { type: 'g6.xlarge', zone: 'us-east-1a', usdPerHour: 0.35 },
    { type: 'g6.xlarge', zone: 'us-east-1b', usdPerHour: 0.3 },
    { type: 'g6e.xlarge', zone: 'us-east-1b', usdPerHour: 0.9 },
  ],
}
const limits: OfferLimits = {
  zones: { 'us-east-1': ['us-east-1a', 'us-east-1b'] },
  market: 'spot-first',
}
const need = { gpuMemoryGb: 24, gpus: 1, diskGb: 100 }
const told = (change: Partial<OfferLimits> = {}, more = {}) =>
  offersIn([east], { ...need, ...more }, { ...limits, ...change }).map(
    ({ type, zone, market, usdPerHour }) => `${type} ${zone} ${market} ${usdPerHour}`,
  )

test('offers are the spot prices of every zone and the dated price on demand, cheapest first', () => {
  expect(told()).toEqual([
    'g6.xlarge us-east-1b spot 0.3',
    'g6.xlarge us-east-1a spot 0.35',
    'g6.xlarge us-east-1a on-demand 0.8',
    'g6e.xlarge us-east-1b spot 0.9',
    'g5.xlarge us-east-1a on-demand 1.01',
    'g6e.xlarge us-east-1b on-demand 1.86',
  ])
})

test('a need for more GPU memory leaves out the smaller GPUs', () => {
  expect(told({}, { gpuMemoryGb: 40 })).toEqual([
    'g6e.xlarge us-east-1b spot 0.9',
    'g6e.xlarge us-east-1b on-demand 1.86',
  ])
})

test('a need for more GPUs than any type has gets no offer', () => {
  expect(told({}, { gpus: 2 })).toEqual([])
})

test('an operator who wants no spot machines is offered none', () => {
  expect(told({ market: 'on-demand' })).toEqual([
    'g6.xlarge us-east-1a on-demand 0.8',
    'g5.xlarge us-east-1a on-demand 1.01',
    'g6e.xlarge us-east-1b on-demand 1.86',
  ])
})

test('types, zones and regions that are not allowed are not offered', () => {
  expect(told({ types: ['g5.xlarge'] })).toEqual(['g5.xlarge us-east-1a on-demand 1.01'])
  expect(told({ zones: { 'us-east-1': ['us-east-1b'] }, types: ['g6.xlarge'] })).toEqual([
    'g6.xlarge us-east-1b spot 0.3',
  ])
  expect(told({ zones: {} })).toEqual([])
})

test('an operator’s own price on demand stands above the dated one', () => {
  expect(told({ market: 'on-demand', onDemandUsdPerHour: { 'g5.xlarge': 0.5 } })[0]).toBe(
    'g5.xlarge us-east-1a on-demand 0.5',
  )
})

test('at one price a machine on demand goes last: it costs the same, but spot quota may be free', () => {
  const same = told({ types: ['g6.xlarge'], onDemandUsdPerHour: { 'g6.xlarge': 0.35 } })
  expect(same.at(-1)).toBe('g6.xlarge us-east-1a on-demand 0.35')
})
