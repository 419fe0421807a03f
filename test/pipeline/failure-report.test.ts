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

test('of each section of the evidence its last 40 lines are kept, and never more than 16 KiB', () => {
  const lines = (name: string, count: number) =>
    Array.from({ length: count }, (_, line) => `${name} ${line + 1}`)
  const evidence = [
    ...lines('said', 100),
    '',
    '== console',
    ...lines('boot', 41),
    '== disk',
    'full',
    '== log',
    'x'.repeat(100_000),
  ].join('\n')
  const report = String(reportOf(job, new Failure('step-overran', 'boot', { evidence })).evidence)
  expect(report.split('\n').slice(0, -1)).toEqual([
    ...lines('said', 100).slice(-40),
    '',
    '== console',
    ...lines('boot', 41).slice(-40),
    '',
    '== disk',
    'full',
    '',
    '== log',
  ])
  expect(report.length).toBeLessThan(20_000)
})

test('a cause that is no error is told by its words', () => {
  const failure = new Failure('internal', 'no', { cause: 'a plain text' })
  expect(reportOf(job, failure).causes).toEqual(['Error: a plain text'])
})

test('causes that go round in a circle are told to an end', () => {
  const failure = new Failure('internal', 'round')
  failure.cause = failure
  expect(reportOf(job, failure).causes).toHaveLength(8)
})

test.each([
  ['cancelled', 1000, 500, /^Cancelled by its owner\. 500 of 1000 points have been returned/],
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
