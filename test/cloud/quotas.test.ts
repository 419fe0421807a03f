import { expect, test } from 'vitest'
import { quotaOf } from '../../src/cloud/quotas.ts'

const region = 'us-east-1'

test.each([
  ['g6.xlarge', 'All G and VT Spot Instance Requests', 'Running On-Demand G and VT instances'],
  ['vt1.3xlarge', 'All G and VT Spot Instance Requests', 'Running On-Demand G and VT instances'],
  ['p5.4xlarge', 'All P5 Spot Instance Requests', 'Running On-Demand P instances'],
  ['p4d.24xlarge', 'All P4, P3 and P2 Spot Instance Requests', 'Running On-Demand P instances'],
  ['trn1.2xlarge', 'trn1, spot', 'trn1, on demand'],
])('%s counts against “%s” and “%s”', (type, spot, onDemand) => {
  expect(quotaOf({ type, market: 'spot', region })).toBe(`“${spot}” in us-east-1`)
  expect(quotaOf({ type, market: 'on-demand', region })).toBe(`“${onDemand}” in us-east-1`)
})
