import { describe, expect, test } from 'vitest'
import { provision } from '../../src/pipeline/steps/provision.ts'
import { mustFitBudget, reserve, turnOf } from '../../src/pipeline/steps/reserve.ts'
import { tearDown } from '../../src/pipeline/steps/teardown.ts'
import type { Remote } from '../../src/remote/host.ts'
import type { Attempt } from '../../src/trainings/runs.ts'
import { attempt, name, offer, trainingId } from '../cloud/samples.ts'
import { settings } from '../faults/settings.ts'
import { openTestJob } from './open-job.ts'
import { plan } from './plan.ts'

const minute = 60_000
const noon = new Date('2026-11-23T12:00:00Z')

/** Ordered at noon: an hour is paid for, and five minutes are waited for the machine. */
const ordered = (change: Partial<Attempt> = {}) =>
  attempt({
    orderedAt: noon,
    lifetimeSeconds: 3600,
    deadline: new Date('2026-11-23T13:05:00Z'),
    reservedUsd: 0.5,
    ...change,
  })
const at = (time: string) => new Date(`2026-11-23T${time}Z`)

/** The attempt after its machine was obtained, which EC2 launches and answers for when `moment` lets it. */
async function provisioned(point: 'asked' | 'instance', delayMs: number) {
  const until = Promise.withResolvers<void>()
  const opened = await openTestJob({
    attempts: [ordered()],
    moment: (moment) => (moment.verb === 'order' && moment.point === point ? until.promise : undefined),
  })
  const done = provision(opened.job, plan, ordered())
  await opened.clock.advance(delayMs)
  until.resolve()
  await done
  return { ...opened, known: opened.job.run.attempts[0] as Attempt }
}

describe('what is paid for', () => {
  test('begins when a late machine is launched, and it has its whole time', async () => {
    const { known, machines, clock, job, budget } = await provisioned('asked', 4 * minute)
    expect(known).toMatchObject({ launchedAt: at('12:04:00'), deadline: at('13:04:00') })
    expect(machines.made()[0]?.order).toMatchObject({ lifetimeSeconds: 3600, deadline: at('13:05:00') })
    await clock.advance(56 * minute)
    await tearDown(job, known)
    expect(job.run.attempts[0]?.costUsd).toBeCloseTo((0.4 * 56) / 60, 5)
    expect((await budget.spending(clock.now())).spent.dayUsd).toBeCloseTo((0.4 * 56) / 60, 5)
  })

  test('has begun when the answer of a machine that was launched at once comes late', async () => {
    const { known } = await provisioned('instance', 4 * minute)
    expect(known).toMatchObject({ launchedAt: at('12:00:00'), deadline: at('13:00:00') })
  })

  test('ends when the machine has switched itself off, however late it is checked', async () => {
    const { known, machines, clock, job } = await provisioned('asked', 4 * minute)
    await clock.advance(59 * minute)
    expect(machines.made()[0]?.running).toBe(true)
    await clock.advance(minute)
    expect(machines.made()[0]?.running).toBe(false)
    await clock.advance(600 * minute)
    await tearDown(job, known)
    expect(job.run.attempts[0]?.costUsd).toBe(0.5)
  })
})

test('an order that is no sooner made than its time is over, since its worker died, gets the whole time', async () => {
  const { job, clock } = await openTestJob({ attempts: [ordered()] })
  await clock.advance(240 * minute)
  await provision(job, plan, ordered())
  expect(job.run.attempts[0]).toMatchObject({
    orderedAt: at('16:00:00'),
    launchedAt: at('16:00:00'),
    deadline: at('17:00:00'),
  })
})

test('an attempt of an earlier release, paid from its order, keeps its deadline', async () => {
  const { lifetimeSeconds: _, ...old } = ordered({ deadline: at('13:00:00') })
  const { job, clock } = await openTestJob({ attempts: [old] })
  await provision(job, plan, old)
  await clock.advance(10 * minute)
  await provision(job, plan, job.run.attempts[0] as Attempt)
  expect(job.run.attempts[0]).toMatchObject({ deadline: at('13:00:00') })
})

test('a machine that was obtained and is gone is lost, and not ordered again', async () => {
  const gone = ordered({ instanceId: 'i-1' })
  const { job, machines } = await openTestJob({ attempts: [gone] })
  await expect(provision(job, plan, gone)).rejects.toMatchObject({ reason: 'machine-lost' })
  expect(machines.made()).toEqual([])
})

describe('a machine that is taken up', () => {
  const takenUp = async (hidden: 'tags' | 'instance') => {
    const opened = await openTestJob({ attempts: [ordered()] })
    const { job, machines } = opened
    await provision(job, plan, ordered())
    const [known] = job.run.attempts as [Attempt]
    machines.hide(known.name, hidden)
    return { ...opened, known }
  }

  test('before the cloud shows its tags is gone on with', async () => {
    const { job, machines, known } = await takenUp('tags')
    await provision(job, plan, known)
    expect(machines.made()).toHaveLength(1)
  })

  test('before the cloud shows it at all is waited for', async () => {
    const { job, machines, known, clock } = await takenUp('instance')
    const done = provision(job, plan, known)
    await clock.advance(0.9 * minute)
    machines.hide(known.name, undefined)
    await clock.advance(0.1 * minute)
    await done
    expect(machines.made()).toHaveLength(1)
  })

  test('and not shown two minutes after its launch is lost', async () => {
    const { job, known, clock } = await takenUp('instance')
    let failure: unknown
    provision(job, plan, known).catch((error) => {
      failure = error
    })
    await clock.advance(2 * minute - 1)
    expect(failure).toBeUndefined()
    await clock.advance(1)
    expect(failure).toMatchObject({ reason: 'machine-lost', message: `${known.instanceId} is absent` })
  })
})

test('an order takes no longer than its limit', async () => {
  const { job, clock } = await openTestJob({
    attempts: [ordered()],
    moment: ({ verb, point }) => (verb === 'order' && point === 'asked' ? new Promise(() => {}) : undefined),
  })
  let ended: unknown
  provision(job, plan, ordered()).catch((error) => {
    ended = error
  })
  await clock.advance(settings.limits.ordering - 1)
  expect(ended).toBeUndefined()
  await clock.advance(1)
  expect(ended).toMatchObject({ reason: 'no-capacity' })
})

describe('a boot', () => {
  /** A machine that never accepts a login, and says why when it is asked. */
  const unwilling = async () => {
    const opened = await openTestJob({ attempts: [ordered()] })
    const connect: Remote['connect'] = (_machine, signal, onWait) => {
      onWait?.('198.51.100.7 shows another host key than the one made for it')
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    }
    Object.assign(opened.remote, { connect })
    return opened
  }

  test('may take its whole limit, whatever the machine answers meanwhile, and its failure says what it was', async () => {
    const { job, clock } = await unwilling()
    let ended: unknown
    provision(job, plan, ordered()).catch((error) => {
      ended = error
    })
    await clock.advance(settings.limits.boot - 1)
    expect(ended).toBeUndefined()
    await clock.advance(1)
    expect(ended).toMatchObject({
      reason: 'step-overran',
      message: expect.stringMatching(/^boot took longer than/),
      evidence: expect.stringMatching(
        /^== SSH\n198\.51\.100\.7 shows another host key than the one made for it\n\n== console\n/,
      ),
    })
  })
})

describe('a budget that is used up', () => {
  test.each([
    ['day', { dayUsd: 1, monthUsd: 9 }, 'this day is used up; the next day begins at 2026-11-24 00:00 UTC'],
    ['month', { dayUsd: 9, monthUsd: 1 }, 'this month is used up; the next month begins at 2026-12-01 00:00'],
    ['month', { dayUsd: 1, monthUsd: 1 }, 'this month is used up; the next month begins at 2026-12-01 00:00'],
  ])('the %s’s: the job waits, told until when, and nothing is noted (%j)', async (period, budget, told) => {
    const opened = await openTestJob({ settings: { budget } })
    await opened.budget.reserve({ key: 'others', usd: 0.7 }, budget, noon)
    await mustFitBudget(opened.job, 0.3)
    await expect(mustFitBudget(opened.job, 0.31)).rejects.toMatchObject({
      reason: 'budget-used-up',
      message: expect.stringContaining(told),
      evidence: '$0.30 is left, and a machine needed $0.31',
    })
    expect(opened.job.run.attempts).toEqual([])
    expect((await opened.alerts.standing()).map(({ key }) => key)).toEqual([`budget:${period}:100`])
  })

  test('by another job, a moment ago: the attempt is closed, and nothing is ordered', async () => {
    const budget = { dayUsd: 1, monthUsd: 9 }
    const opened = await openTestJob({ settings: { budget }, attempts: [ordered()] })
    await opened.budget.reserve({ key: 'others', usd: 0.7 }, budget, noon)
    await expect(provision(opened.job, plan, ordered())).rejects.toMatchObject({ reason: 'budget-used-up' })
    expect(opened.job.run.attempts[0]).toMatchObject({ costUsd: 0, tornDownAt: noon })
    expect(opened.machines.left()).toEqual([])
  })

  test('is reserved from on the day of the order, once', async () => {
    const { job, budget, clock } = await openTestJob({ attempts: [ordered()] })
    await clock.advance(24 * 60 * minute)
    await reserve(job, ordered())
    await reserve(job, ordered())
    expect((await budget.spending(clock.now())).reserved).toEqual({ dayUsd: 0.5, monthUsd: 0.5 })
    expect((await budget.spending(noon)).reserved.dayUsd).toBe(0)
  })

  test.each([
    ['day', '2026-12-31T23:59:59Z', '2027-01-01T00:00:00Z'],
    ['day', '2026-02-28T00:00:00Z', '2026-03-01T00:00:00Z'],
    ['month', '2026-12-01T00:00:00Z', '2027-01-01T00:00:00Z'],
    ['month', '2026-01-31T12:00:00Z', '2026-02-01T00:00:00Z'],
  ] as const)('turns with the %s of %s at %s', (period, now, turn) => {
    expect(turnOf(period, new Date(now))).toEqual(new Date(turn))
  })
})

describe('a teardown', () => {
  const failing = (times: number) => {
    let left = times
    return openTestJob({
      attempts: [ordered({ instanceId: 'i-1', launchedAt: noon })],
      moment: ({ verb, point }) => {
        if (verb === 'release' && point === 'asked' && left-- > 0) throw new Error('AWS stumbled')
      },
    })
  }

  test('that AWS refuses twice works at the third try, and wakes no operator', async () => {
    const { job, clock, alerts } = await failing(2)
    const down = tearDown(job, job.run.attempts[0] as Attempt)
    await clock.advance(12_000)
    await down
    expect(job.run.attempts[0]).toMatchObject({ tornDownAt: at('12:00:12'), suspectedLeak: false })
    expect(alerts.said).toEqual([])
  })

  test('that can’t be proved is a suspected leak, never a clean end', async () => {
    const { job, clock, alerts } = await failing(3)
    const down = tearDown(job, job.run.attempts[0] as Attempt)
    await clock.advance(12_000)
    await down
    expect(job.run.attempts[0]).toMatchObject({ suspectedLeak: true })
    expect(job.run.attempts[0]).not.toHaveProperty('tornDownAt')
    expect(job.run.attempts[0]).not.toHaveProperty('costUsd')
    expect(await alerts.standing()).toMatchObject([{ key: `leak:${name}`, severity: 'critical' }])
    await tearDown(job, job.run.attempts[0] as Attempt)
    expect(await alerts.standing()).toEqual([])
    expect(job.run.attempts[0]).toMatchObject({ suspectedLeak: false })
  })

  test('that hangs is over at its limit', async () => {
    const { job, clock } = await openTestJob({
      attempts: [ordered()],
      moment: ({ verb }) => (verb === 'release' ? new Promise(() => {}) : undefined),
    })
    const down = tearDown(job, job.run.attempts[0] as Attempt)
    await clock.advance(settings.limits.teardown - 1)
    expect(job.run.attempts[0]?.suspectedLeak).toBeUndefined()
    await clock.advance(1)
    await down
    expect(job.run.attempts[0]).toMatchObject({ suspectedLeak: true })
  })

  test('of an order whose answer was lost pays for the machine that it made', async () => {
    const { job, clock, machines, budget } = await openTestJob({ attempts: [ordered()] })
    await budget.reserve({ key: name, usd: 0.5 }, settings.budget, noon)
    const order = { name, trainingId, attempt: 1, offer: offer(), diskGb: 50, lifetimeSeconds: 3600 }
    await machines.order({ ...order, deadline: at('13:05:00') }, new AbortController().signal)
    await clock.advance(30 * minute)
    await tearDown(job, ordered())
    expect(job.run.attempts[0]?.launchedAt).toEqual(noon)
    expect(job.run.attempts[0]?.costUsd).toBeCloseTo(0.2, 8)
  })

  test('tells of a state that was broken', async () => {
    const { job, machines, timeline } = await openTestJob({ attempts: [ordered()] })
    machines.breakState(name)
    await tearDown(job, ordered())
    const told = (await timeline.read(trainingId)).map(({ message }) => message)
    expect(told).toContain(`the state of the stack ${name} could not be read`)
  })
})
