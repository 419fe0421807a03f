import { Failure } from '../../failure.ts'
import { usedUpAlert, usedUpKey } from '../../notify/watch-budget.ts'
import type { Plan } from '../../recipes/plan.ts'
import { recipes } from '../../recipes/registry.ts'
import type { Host } from '../../remote/host.ts'
import type { Attempt } from '../../trainings/runs.ts'
import type { Job } from '../job.ts'
import { machineLost } from '../machine-watch.ts'
import { consoleOf } from './explain.ts'
import { onMachine } from './on-machine.ts'

/** A machine with its first boot behind it; leaving the scope closes the connection, not the machine. */
export type OpenHost = Host & Disposable

/** Orders the machine, or finds the one of this attempt again, and waits until it can be worked on. */
export async function provision(job: Job, plan: Plan, attempt: Attempt): Promise<OpenHost> {
  const { machines, remote, clock } = job.ports
  const { name, number, offer, deadline } = attempt
  const { diskGb } = recipes[plan.family].need(plan, job.run.base)
  const trainingId = job.training.id

  if (attempt.instanceId) await mustStillExist(job, attempt)
  else await reserve(job, attempt)
  job.show('activity', `ordering ${offer.type} in ${offer.zone}`)
  const machine = await job.within('ordering', (signal) =>
    machines.order({ name, trainingId, attempt: number, offer, diskGb, deadline }, signal),
  )
  await job.changeAttempt(number, { instanceId: machine.instanceId, host: machine.host })

  job.show('activity', `waiting for ${machine.instanceId} to boot`)
  const host = await onMachine(
    job,
    'boot',
    () => consoleOf(job),
    async (signal) => {
      const connected = await remote.connect(machine, signal)
      try {
        await connected.ready(signal)
        return connected
      } catch (error) {
        connected.close()
        throw error
      }
    },
  )
  if (!attempt.readyAt) await job.changeAttempt(number, { readyAt: clock.now() })
  await job.reach('provisioned', `${machine.instanceId} (${offer.type}) is ready`)
  return Object.assign(host, { [Symbol.dispose]: () => host.close() })
}

/** Nothing is ordered that the day's and the month's budgets can't pay. */
async function reserve(job: Job, attempt: Attempt): Promise<void> {
  const { budget, alerts } = job.ports
  const answer = await budget.reserve(
    { key: attempt.name, usd: attempt.reservedUsd },
    job.settings.budget,
    attempt.orderedAt,
  )
  if (answer.granted) return
  const left = `$${answer.leftUsd.toFixed(2)} is left, and a machine needed $${attempt.reservedUsd.toFixed(2)}`
  await alerts.raise(usedUpKey(answer.period), usedUpAlert(answer.period, left))
  throw new Failure('over-budget', `no more machines may be rented this ${answer.period}`, { evidence: left })
}

async function mustStillExist(job: Job, attempt: Attempt): Promise<void> {
  const found = await job.ports.machines.state(attempt.name)
  if (found.state === 'running' || found.state === 'pending') return
  throw machineLost(attempt.instanceId ?? attempt.name, found)
}
