/** The pages and their JSON from runs that are written out, so that a slip in what a person reads is noticed. */
import { describe, expect, test } from 'vitest'
import type { Plan } from '../../src/recipes/plan.ts'
import type { Attempt, Run, Runs } from '../../src/trainings/runs.ts'
import type { Timeline, TimelineEvent } from '../../src/trainings/timeline.ts'
import type { Trainings } from '../../src/trainings/trainings.ts'
import { jobPage, overviewPage } from '../../src/web/pages.ts'
import { reachedPhases, statusOf } from '../../src/web/status.ts'
import { memoryBudget } from '../fakes/memory-budget.ts'
import { memoryStore } from '../fakes/memory-store.ts'

const now = new Date('2026-11-25T10:00:00Z')
const minutes = (count: number) => new Date(now.getTime() + count * 60_000)

const attempt = (number: number, fields: Partial<Attempt> = {}): Attempt => ({
  number,
  name: `bellows-1-${number}`,
  offer: {
    provider: 'aws',
    type: number === 1 ? 'g6.xlarge' : 'g5.xlarge',
    gpu: 'L4',
    gpus: 1,
    gpuMemoryGb: 24,
    region: 'us-east-1',
    zone: 'us-east-1a',
    market: number === 1 ? 'spot' : 'on-demand',
    usdPerHour: 1,
  },
  orderedAt: minutes(-60),
  deadline: minutes(120),
  reservedUsd: 3,
  ...fields,
})

const run = (fields: Partial<Run> = {}): Run => ({
  id: 'job',
  number: 1,
  deployment: 'd',
  phase: 'claimed',
  attempts: [],
  earlierAttempts: [],
  startedAt: minutes(-90),
  phaseTimes: { claimed: minutes(-90) },
  ...fields,
})

const plan = { family: 'SDXL', name: 'red-kite', steps: 500 } as unknown as Plan

async function statusIn(
  runs: readonly Run[],
  events: readonly TimelineEvent[] = [],
  examples: readonly string[] = [],
) {
  const asked: number[] = []
  const budget = memoryBudget()
  await budget.reserve({ key: 'open', usd: 2 }, { dayUsd: 10, monthUsd: 20 }, now)
  const status = statusOf({
    worker: 'one',
    ports: {
      trainings: {
        counts: async () => ({ QUEUED: 1, RUNNING: 2, COMPLETED: 3, FAILED: 4, CANCELLED: 5 }),
        notUnderstood: async () => ({ count: examples.length, examples }),
        paused: async () => undefined,
      } as unknown as Trainings,
      runs: {
        recent: async (limit: number) => {
          asked.push(limit)
          return runs
        },
        held: async () => runs.flatMap(({ id, hold }) => (hold ? { ...hold, id } : [])),
        read: async (id: string) => runs.find((each) => each.id === id),
      } as unknown as Runs,
      timeline: { read: async () => events } as unknown as Timeline,
      budget,
      store: memoryStore(),
      clock: { now: () => now } as never,
    },
    budget: { dayUsd: 10, monthUsd: 20 },
    active: () => ['job'],
    health: () => ({ healthy: true, active: 1, lastLookAt: now }),
  })
  return { status, asked }
}

const summaryOf = async (fields: Partial<Run>) => {
  const { status } = await statusIn([run(fields)])
  return (await status.overview()).runs[0]
}

const pageOf = async (...runs: Run[]) => String(overviewPage(await (await statusIn(runs)).status.overview()))

const textOf = (page: string) =>
  page
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()

describe('the JSON of a run', () => {
  test('has nothing of what is not there yet', async () => {
    expect(await summaryOf({})).toEqual({
      id: 'job',
      phase: 'claimed',
      state: 'waiting',
      worker: '',
      hold: null,
      model: '',
      step: 0,
      steps: 0,
      machine: '',
      costUsd: 0,
      ending: '',
      startedAt: minutes(-90),
    })
  })

  test('has the newest machine, the cost of all, and who holds it', async () => {
    const attempts = [
      attempt(1, { launchedAt: minutes(-60), tornDownAt: minutes(-30), costUsd: 0.5 }),
      attempt(2, { launchedAt: minutes(-15) }),
    ]
    expect(await summaryOf({ attempts, plan, lastStep: 250, heldBy: 'two' })).toMatchObject({
      state: 'running',
      worker: 'two',
      model: 'SDXL red-kite',
      step: 250,
      steps: 500,
      machine: 'g5.xlarge on-demand',
      costUsd: 0.75,
    })
  })

  test('says how it ended, and of an ended one neither holder nor hold as the state', async () => {
    const hold = { reason: 'no capacity', since: minutes(-10), until: minutes(5) }
    const outcome = { ending: 'trained', sentence: 'Done.', refundPoints: 0, decidedAt: now } as const
    expect(await summaryOf({ endedAt: now, outcome, hold, heldBy: 'two' })).toMatchObject({
      state: 'ended',
      ending: 'trained',
      hold: null,
    })
    expect(await summaryOf({ hold })).toMatchObject({ state: 'held', hold })
    expect(await summaryOf({ hold, heldBy: 'two' })).toMatchObject({ state: 'running' })
  })

  test('shows the furthest phase that was reached; one without a machine has none torn down', () => {
    const phaseTimes = { claimed: now, 'torn down': now }
    expect(reachedPhases(run({ phaseTimes }))).toEqual(['claimed'])
    expect(reachedPhases(run({ phaseTimes, attempts: [attempt(1)] }))).toEqual(['claimed', 'torn down'])
    expect(reachedPhases(run({ phaseTimes: { staged: now, charged: now, claimed: now } }))).toEqual([
      'claimed',
      'charged',
      'staged',
    ])
  })

  test('has the furthest phase that was reached, whatever the run ends with', async () => {
    const phaseTimes = { claimed: now, charged: now, 'torn down': now }
    expect(await summaryOf({ phase: 'torn down', phaseTimes })).toMatchObject({ phase: 'charged' })
  })

  test('is of the fifty newest', async () => {
    const { status, asked } = await statusIn([])
    const overview = await status.overview()
    expect(asked).toEqual([50])
    expect(overview).toMatchObject({
      worker: 'one',
      active: ['job'],
      counts: { QUEUED: 1, FAILED: 4 },
      spending: { spent: { dayUsd: 0 }, reserved: { dayUsd: 2 } },
      budget: { dayUsd: 10, monthUsd: 20 },
      paused: null,
    })
  })

  test('does not exist for an unknown job', async () => {
    const { status } = await statusIn([run()])
    expect(await status.job('other')).toBeUndefined()
    expect(await status.job('job')).toEqual({ run: run(), events: [] })
    expect(status.health()).toEqual({ healthy: true, active: 1, lastLookAt: now })
  })
})

describe('the overview', () => {
  test('says how many there are and what is spent', async () => {
    const text = textOf(await pageOf())
    expect(text).toContain('1 queued 2 running 3 completed 4 failed')
    expect(text).toContain('$0.00 spent of $10 today, and $2.00 reserved')
    expect(text).toContain('$0.00 spent of $20 this month, and $2.00 reserved')
    expect(text).toContain('No training yet: insert one into trainingJobs .')
    expect(text).toContain('Worker one')
  })

  test('tells of documents that are not understood, from the first on, and of none where there is none', async () => {
    const { status } = await statusIn([], [], ['a: its status is missing'])
    expect(textOf(String(overviewPage(await status.overview())))).toContain(
      'Documents that are not understood and left alone (1): a: its status is missing',
    )
    const none = await pageOf()
    expect(none).not.toContain('not understood')
    expect(none).toMatch(/^<!doctype html>/)
  })

  test('has a row for each run, with a link to it', async () => {
    const attempts = [attempt(1, { launchedAt: minutes(-15) })]
    const outcome = { ending: 'crashed', sentence: '', refundPoints: 0, decidedAt: now } as never
    const page = await pageOf(run({ attempts, plan, lastStep: 250, heldBy: 'two', outcome }))
    expect(page).toContain('<a href="/jobs/job"><code>job</code></a>')
    expect(page).toContain('<progress max="500" value="250">')
    expect(textOf(page)).toContain(
      'Ending job SDXL red-kite claimed (on two) 250/500 g6.xlarge spot $0.2500 crashed',
    )
    expect(page).not.toContain('No training yet')
  })

  test('has a bar of one step where the number is not known', async () => {
    expect(await pageOf(run())).toContain('<progress max="1" value="0">')
  })

  test('says of a run whether it waits, is held or has ended', async () => {
    const hold = { reason: 'no capacity', since: now, until: minutes(5) }
    expect(textOf(await pageOf(run()))).toContain('claimed (waiting for a worker)')
    expect(textOf(await pageOf(run({ hold })))).toContain('claimed (held)')
    expect(textOf(await pageOf(run({ endedAt: now })))).toContain('claimed 0/0')
  })

  test('lists twenty held jobs, and counts the others', async () => {
    const held = (count: number) =>
      Array.from({ length: count }, (_, index) =>
        run({ id: `job${index}`, hold: { reason: 'no capacity', since: now, until: minutes(5) } }),
      )
    const said = /Held: no capacity, next try at 2026-11-25 10:05 UTC/g
    const twenty = await pageOf(...held(20))
    expect(twenty.match(said)).toHaveLength(20)
    expect(twenty).not.toContain('more that are held')
    const more = await pageOf(...held(22))
    expect(more.match(said)).toHaveLength(20)
    expect(more).toContain('<a href="/jobs/job0"><code>job0</code></a> Held:')
    expect(textOf(more)).toContain('… and 2 more that are held')
  })
})

describe('the page of a job', () => {
  const event = (number: number, message: string): TimelineEvent => ({
    trainingId: 'job',
    number,
    at: new Date('2026-11-25T09:08:07Z'),
    worker: 'one',
    token: 1,
    kind: 'warning',
    message,
  })

  async function jobIn(fields: Partial<Run>, ...events: TimelineEvent[]) {
    const { status } = await statusIn([run(fields)], events)
    const job = await status.job('job')
    return job ? String(jobPage(job)) : ''
  }

  test('lights the phases that were reached, of nine', async () => {
    const page = await jobIn({ phaseTimes: { claimed: now, charged: now } })
    const lights = [...page.matchAll(/<span class="(done)?">([^<]*)<\/span>/g)].map(([, lit, phase]) => [
      phase,
      lit,
    ])
    expect(lights).toHaveLength(9)
    expect(lights.filter(([, lit]) => lit)).toEqual(
      [
        ['charged', 'done'],
        ['claimed', 'done'],
      ].toReversed(),
    )
  })

  test('says how it ended, in the sentence that its owner reads', async () => {
    const outcome = {
      ending: 'trained',
      sentence: 'It is in your list.',
      refundPoints: 0,
      decidedAt: now,
    } as const
    expect(textOf(await jobIn({ outcome }))).toContain('trained It is in your list.')
  })

  test('says that it is held, and no more once it has ended', async () => {
    const hold = { reason: 'no capacity', since: now, until: minutes(5) }
    expect(textOf(await jobIn({ hold }))).toContain('Held: no capacity, next try at 2026-11-25 10:05 UTC')
    expect(await jobIn({ hold, endedAt: now })).not.toContain('Held:')
  })

  test('tells its timeline by the hour, minute and second, as text', async () => {
    const page = await jobIn({}, event(1, '<script>alert(1)</script>'))
    expect(page).not.toContain('<script>')
    expect(textOf(page)).toContain('09:08:07 warning &lt;script&gt;alert(1)&lt;/script&gt;')
    expect(page).toContain('<title>Training job</title>')
    expect(textOf(page)).toContain('Bellows / Training job')
    expect(page).toContain('<meta http-equiv="refresh" content="3" />')
  })
})
