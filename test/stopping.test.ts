import { expect, test } from 'vitest'
import { endParts, type Part } from '../src/stopping.ts'

const never = () => new Promise<never>(() => {})

test('parts that end leave nothing; a group begins when the one before has ended or is left', async () => {
  const order: string[] = []
  const part = (name: string, end = async () => {}): Part => ({
    name,
    limitMs: 20,
    end: () => {
      order.push(name)
      return end()
    },
  })
  expect(await endParts([[part('jobs'), part('reaper')], [part('page')]])).toEqual([])
  expect(await endParts([[part('stuck', never)], [part('database')]])).toEqual([
    'stuck (still there after 0.02 s)',
  ])
  expect(order).toEqual(['jobs', 'reaper', 'page', 'stuck', 'database'])
})

test('what is left of a part is named, and a part that fails does not keep the others from ending', async () => {
  let closed = false
  const left = await endParts([
    [
      { name: 'jobs', limitMs: 10, end: never, left: () => '6b04bf, 6b04c0' },
      { name: 'page', limitMs: 1000, end: () => Promise.reject(new Error('not listening')) },
      {
        name: 'port',
        limitMs: 1000,
        end: () => {
          throw new Error('never opened')
        },
      },
    ],
    [
      {
        name: 'database',
        limitMs: 1000,
        end: async () => {
          closed = true
        },
      },
    ],
  ])
  expect(left).toEqual([
    'jobs 6b04bf, 6b04c0 (still there after 0.01 s)',
    'page (not listening)',
    'port (never opened)',
  ])
  expect(closed).toBe(true)
})
