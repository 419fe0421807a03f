import { Failure } from '../../failure.ts'
import type { Plan } from '../../recipes/plan.ts'
import { recipes } from '../../recipes/registry.ts'
import type { Host } from '../../remote/host.ts'
import type { Attempt } from '../../trainings/runs.ts'
import type { Job } from '../job.ts'
import { machineLost } from '../machine-watch.ts'
import { consoleOf } from './explain.ts'
import { ordered } from './offer-words.ts'
import { onMachine } from './on-machine.ts'
import { reserve } from './reserve.ts'

/** A machine with its first boot behind it; leaving the scope closes the connection, not the machine. */
export type OpenHost = Host & Disposable

/** Orders the machine, or finds the one of this attempt again, and waits until it can be worked on. */
export async function provision(job: Job, plan: Plan, attempt: Attempt): Promise<OpenHost> {
  const { machines, remote, clock } = job.ports
  const { name, number, offer } = attempt
  const lifetimeSeconds = attempt.lifetimeSeconds ?? secondsBetween(attempt.orderedAt, attempt.deadline)
  const { diskGb } = recipes[plan.family].requirements(plan, job.run.base)
  const trainingId = job.training.id

  if (attempt.instanceId) await mustStillExist(job, attempt)
  else await reserve(job, attempt)
  const deadline = await deadlineOf(job, attempt, lifetimeSeconds)
  job.emit('activity', `ordering ${offer.type} in ${offer.zone}`)
  const machine = await inTime(job, attempt, (signal) =>
    machines.order(
      {
        name,
        trainingId,
        attempt: number,
        offer,
        diskGb,
        lifetimeSeconds,
        deadline,
        ...(attempt.instanceId && { instanceId: attempt.instanceId }),
      },
      signal,
    ),
  )
  const { instanceId, host: address, launchedAt, warning } = machine
  const paidUntil = new Date(launchedAt.getTime() + lifetimeSeconds * 1000)
  const known = {
    instanceId,
    host: address,
    launchedAt,
    deadline: paidUntil < deadline ? paidUntil : deadline,
  }
  const isNews = job.run.waiting !== undefined && !attempt.instanceId
  await job.changeAttempt(number, known, isNews ? ordered(attempt) : undefined)
  if (warning) await job.record('warning', warning)

  job.emit('activity', `waiting for ${instanceId} to boot`)
  let unreached: string | undefined
  const onWait = (why: string) => {
    unreached = why
  }
  const collectEvidence = async () =>
    [unreached && `== SSH\n${unreached}`, await consoleOf(job)].filter(Boolean).join('\n\n')
  const host = await onMachine(job, 'boot', collectEvidence, async (signal) => {
    const connected = await remote.connect(machine, signal, onWait)
    unreached = undefined
    try {
      await connected.ready(signal)
      return connected
    } catch (error) {
      connected.close()
      throw error
    }
  })
  if (!attempt.readyAt) await job.changeAttempt(number, { readyAt: clock.now() })
  await job.reach('provisioned', `${instanceId} (${offer.type}) is ready`)
  return Object.assign(host, { [Symbol.dispose]: () => host.close() })
}

/** A timed-out order counts as no capacity: the same offer would take too long again. */
async function inTime<T>(
  job: Job,
  { offer }: Attempt,
  order: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  try {
    return await job.within('ordering', order)
  } catch (error) {
    if (!(error instanceof Failure) || error.reason !== 'step-overran') throw error
    const { type, market, zone } = offer
    throw new Failure('no-capacity', `${type} (${market}) in ${zone}: ${error.message}`, { cause: error })
  }
}

/** An order that is late, since a worker died or the job was held, is an order of now: its machine gets its whole time. */
async function deadlineOf(job: Job, attempt: Attempt, lifetimeSeconds: number): Promise<Date> {
  const lifetimeMs = lifetimeSeconds * 1000
  const orderedAt = job.ports.clock.now()
  if (attempt.instanceId || attempt.deadline.getTime() - orderedAt.getTime() >= lifetimeMs)
    return attempt.deadline
  const deadline = new Date(orderedAt.getTime() + job.settings.limits.ordering + lifetimeMs)
  await job.changeAttempt(attempt.number, { orderedAt, deadline })
  return deadline
}

/** A machine that the cloud has only just made may not be shown by it yet, not even by its id. */
async function mustStillExist(job: Job, { name, instanceId, launchedAt }: Attempt): Promise<void> {
  const { machines, clock } = job.ports
  const shownAt = (launchedAt?.getTime() ?? 0) + shownAfterMs
  for (let leftMs = Math.min(shownAfterMs, shownAt - clock.now().getTime()); ; leftMs -= betweenLooksMs) {
    const found = await machines.state(name, instanceId)
    if (found.state === 'running' || found.state === 'pending') return
    if (found.state !== 'absent' || leftMs <= 0) throw machineLost(instanceId ?? name, found)
    job.emit('activity', `waiting until the cloud shows ${instanceId}`)
    await clock.sleep(Math.min(betweenLooksMs, leftMs), job.signal)
  }
}

/** AWS names no bound; what is made is shown everywhere within seconds, rarely within a minute. */
const shownAfterMs = 120_000
const betweenLooksMs = 5_000

/** For attempts of earlier releases, which were paid from their order. */
function secondsBetween(start: Date, end: Date): number {
  return (end.getTime() - start.getTime()) / 1000
}
