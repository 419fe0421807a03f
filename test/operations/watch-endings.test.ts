/** The watch over the endings, where little is known or much has happened. */
import { expect, test } from 'vitest'
import { watchEndings } from '../../src/operations/watch-endings.ts'
import type { Outcome, Run } from '../../src/trainings/runs.ts'
import { memoryAlerts } from '../fakes/memory-alerts.ts'

const start = new Date('2026-11-23T10:00:00Z')

function run(id: string, ending: Outcome['ending'] | undefined, minute = 0): Run {
  const decidedAt = new Date(start.getTime() + minute * 60_000)
  const outcome = ending && { ending, sentence: '', refundPoints: 0, decidedAt }
  const rest = { number: 1, deployment: 'd', phase: 'claimed', attempts: [], earlierAttempts: [] } as const
  return { id, ...rest, startedAt: start, phaseTimes: {}, ...(outcome && { outcome }) }
}

function watching() {
  const alerts = memoryAlerts()
  const asked: number[] = []
  const recent = (runs: readonly Run[]) => async (limit: number) => {
    asked.push(limit)
    return runs.slice(0, limit)
  }
  return { alerts, asked, look: (...runs: Run[]) => watchEndings({ alerts, runs: { recent: recent(runs) } }) }
}

const three = [run('c', 'internal', 3), run('b', 'internal', 2), run('a', 'internal', 1)]

test('runs that still go on, however many, hide no ending among the last two hundred', async () => {
  const { alerts, asked, look } = watching()
  const going = Array.from({ length: 197 }, (_, index) => run(`g${index}`, undefined))
  await look(...going, ...three)
  expect(asked).toEqual([200])
  expect(alerts.said).toMatchObject([
    {
      key: 'internal-errors',
      kind: 'raised',
      severity: 'critical',
      title: '3 trainings in a row ended with an internal error',
      text: 'c, b, a: see the "failure" events of their timelines.',
    },
  ])
})

test('is over with the first that ends otherwise, by name, although the errors are still among the last', async () => {
  const { alerts, look } = watching()
  await look(...three)
  await look(run('d', 'bad-dataset', 4), ...three)
  expect(alerts.said.at(-1)).toMatchObject({ kind: 'over', text: 'Training d ended otherwise.' })
})

test('goes on standing while the newest are errors, and where nothing is left to judge by', async () => {
  const { alerts, look } = watching()
  await look(...three)
  await look(run('e', 'internal', 5), run('d', 'trained', 4), ...three)
  await look(run('e', 'internal', 5))
  await look()
  await look(run('f', 'cancelled', 6))
  expect(alerts.said).toHaveLength(1)
})

test('is over too where only one has ended, and otherwise', async () => {
  const { alerts, look } = watching()
  await look(...three)
  await look(run('d', 'trained', 9))
  expect(alerts.said.map(({ kind }) => kind)).toEqual(['raised', 'over'])
})
