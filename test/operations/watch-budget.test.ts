/** The watch over the budgets at its thresholds: 80 % and 100 % ring, and below 70 % it is over. */
import { expect, test } from 'vitest'
import { watchBudget } from '../../src/operations/watch-budget.ts'
import { memoryAlerts } from '../fakes/memory-alerts.ts'

const now = new Date('2026-11-23T10:00:00Z')

function watching(limits = { dayUsd: 100, monthUsd: 1000 }) {
  const alerts = memoryAlerts()
  return {
    alerts,
    look: (spent: number, reserved = 0, monthMore = 0) => {
      const spending = async () => ({
        spent: { dayUsd: spent, monthUsd: spent + monthMore },
        reserved: { dayUsd: reserved, monthUsd: reserved },
      })
      return watchBudget({ budget: { spending }, alerts }, limits, now)
    },
    said: () => alerts.said.map(({ key, kind }) => `${key} ${kind}`),
  }
}

test('what is spent and what is reserved count together', async () => {
  const { look, said } = watching()
  await look(40, 39.99)
  expect(said()).toEqual([])
  await look(40, 40)
  expect(said()).toEqual(['budget:day:80 raised'])
})

test('the month is watched beside the day, by its own limit', async () => {
  const { alerts, look, said } = watching()
  await look(10, 0, 790)
  expect(said()).toEqual(['budget:month:80 raised'])
  expect(alerts.said[0]).toMatchObject({
    severity: 'warning',
    title: "The month's budget for machines is at 80 %",
    text: '$800.00 of $1000.00 is spent or reserved.',
  })
})

test('a budget that is used up is critical, and its alert says that jobs wait and until when', async () => {
  const { alerts, look, said } = watching()
  await look(99.99)
  expect(said()).toEqual(['budget:day:80 raised'])
  await look(100)
  expect(said()).toEqual(['budget:day:80 raised', 'budget:day:100 raised'])
  expect(alerts.said.map(({ title, severity, text }) => [title, severity, text])).toEqual([
    ["The day's budget for machines is at 99 %", 'warning', '$99.99 of $100.00 is spent or reserved.'],
    [
      "The day's budget for machines is used up",
      'critical',
      '$100.00 of $100.00 is spent or reserved. Jobs that need a machine wait in the queue until it is raised or the day is over.',
    ],
  ])
})

test('at 70 % it still stands; just below, both are over', async () => {
  const { look, said } = watching()
  await look(100)
  await look(70)
  expect(said()).toHaveLength(2)
  await look(69.99)
  expect(said().slice(2)).toEqual(['budget:day:80 over', 'budget:day:100 over'])
})

test('a budget of a dollar is watched too', async () => {
  const { look, said } = watching({ dayUsd: 1, monthUsd: 1000 })
  await look(0.8)
  expect(said()).toEqual(['budget:day:80 raised'])
})

test('a limit of nothing rings never', async () => {
  const { look, said } = watching({ dayUsd: 0, monthUsd: 0 })
  await look(5)
  expect(said()).toEqual([])
})
