import { expect, test } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { sentenceFor } from '../../src/pipeline/endings.ts'
import { reportOf } from '../../src/pipeline/failure-report.ts'
import type { Job } from '../../src/pipeline/job.ts'
import { offers } from '../faults/settings.ts'

const orderedAt = new Date('2026-11-23T10:00:00Z')
const attempt = {
  number: 2,
  name: 'bellows-1-2',
  offer: { ...offers[0], usdPerHour: 0.5 },
  orderedAt,
  deadline: new Date('2026-11-23T13:00:00Z'),
  reservedUsd: 2,
  instanceId: 'i-0abc',
}
const job = {
  step: 'staging',
  run: { attempts: [attempt] },
  ports: { clock: { now: () => new Date('2026-11-23T11:00:00Z') } },
} as unknown as Job

test('a report has step, attempt, machine, offer, cost so far, the chain of causes and the evidence', () => {
  const first = new TypeError('socket closed')
  const cause = new Error('the store did not answer', { cause: first })
  const report = reportOf(job, new Failure('store-failed', 'no dataset', { cause, evidence: 'the log' }))
  expect(report).toEqual({
    reason: 'store-failed',
    step: 'staging',
    attempt: 2,
    machine: 'i-0abc',
    offer: attempt.offer,
    costUsd: 0.5,
    causes: ['Error: the store did not answer', 'TypeError: socket closed'],
    stack: first.stack,
    evidence: 'the log',
  })
})

test('causes that go round in a circle are told to an end', () => {
  const failure = new Failure('internal', 'round')
  failure.cause = failure
  expect(reportOf(job, failure).causes).toHaveLength(8)
})

test.each([
  ['cancelled', 1000, 500, /^Cancelled by its owner\. 500 of 1000 points, for the steps that were not/],
  ['cancelled', 1000, 1000, /^Cancelled by its owner\. Your points have been returned\.$/],
  ['bad-dataset', 0, 0, /You have not been charged\.$/],
  ['internal', 1000, 1000, /Please try again\. Your points have been returned\.$/],
  ['trained', 1000, 0, /^$/],
] as const)(
  'a job that ended %s, charged %i and given back %i, says so',
  (ending, charged, refund, sentence) => {
    expect(sentenceFor(ending, 'detail', { charged, refund })).toMatch(sentence)
  },
)
