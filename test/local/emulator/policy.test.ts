import { describe, expect, test } from 'vitest'
import type { Policy, Statement } from '../../../infra/worker-rights.ts'
import { decide } from '../../../local/emulator/ec2/policy.ts'

const policy = (...Statement: readonly Partial<Statement>[]): Policy => ({
  Version: '2012-10-17',
  Statement: Statement.map((each) => ({ Effect: 'Allow', Action: '*', Resource: '*', ...each })),
})

const instance = 'arn:aws:ec2:us-east-1:000000000000:instance/i-1'

const ask = (action = 'ec2:TerminateInstances', resource = instance, context = {}) => ({
  action,
  resource,
  context: { 'aws:RequestedRegion': 'us-east-1', ...context },
})

test('what no statement allows is not allowed, and what one denies is denied', () => {
  expect(decide(policy(), ask())).toBe('not allowed')
  expect(decide(policy({}), ask())).toBe('allowed')
  expect(decide(policy({}, { Effect: 'Deny', Action: 'ec2:Terminate*' }), ask())).toBe('denied')
})

test.each([
  ['ec2:TerminateInstances', true],
  ['ec2:terminateinstances', true],
  ['ec2:Terminate*', true],
  ['ec2:TerminateInstance?', true],
  ['*', true],
  ['ec2:Terminate', false],
  ['iam:TerminateInstances', false],
  ['ec2.TerminateInstances', false],
])('an action written as %s: %s', (Action, allowed) => {
  expect(decide(policy({ Action }), ask()) === 'allowed').toBe(allowed)
})

test.each([
  ['arn:aws:ec2:*:*:instance/*', true],
  [['arn:aws:ec2:*:*:volume/*', instance], true],
  ['arn:aws:ec2:*:*:volume/*', false],
  ['arn:aws:ec2:eu-west-1:*:instance/*', false],
])('a resource written as %s: %s', (Resource, allowed) => {
  expect(decide(policy({ Resource }), ask()) === 'allowed').toBe(allowed)
})

describe('conditions', () => {
  const tagged = (tag: string) => ask(undefined, undefined, { 'aws:ResourceTag/a:b': tag })

  test('one of the values must be the value, and a key that is not there fits none', () => {
    const ours = policy({ Condition: { StringEquals: { 'aws:ResourceTag/a:b': ['one', 'two'] } } })
    expect(decide(ours, tagged('two'))).toBe('allowed')
    expect(decide(ours, tagged('three'))).toBe('not allowed')
    expect(decide(ours, ask())).toBe('not allowed')
  })

  test('all of them must hold', () => {
    const both = policy({
      Condition: {
        StringEquals: { 'aws:RequestedRegion': 'us-east-1' },
        StringLike: { 'aws:ResourceTag/a:b': 'o*' },
      },
    })
    expect(decide(both, tagged('one'))).toBe('allowed')
    expect(decide(both, tagged('two'))).toBe('not allowed')
    const elsewhere = tagged('one')
    expect(
      decide(both, { ...elsewhere, context: { ...elsewhere.context, 'aws:RequestedRegion': 'x' } }),
    ).toBe('not allowed')
  })

  test('what is not understood is an error, not passed over', () => {
    expect(() => decide(policy({ NotAction: 'x' } as never), ask())).toThrow('NotAction')
    const dated = policy({ Condition: { DateLessThan: { 'aws:CurrentTime': 'x' } } as never })
    expect(() => decide(dated, ask())).toThrow('DateLessThan')
  })
})
