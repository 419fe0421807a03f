/** Training: start the container unless it is there, follow it to its end, and say what became of it. */
import type { Plan } from '../../recipes/plan.ts'
import type { Host } from '../../remote/host.ts'
import type { Attempt } from '../../trainings/runs.ts'
import { answerWithin } from '../beside.ts'
import type { Job } from '../job.ts'
import { within } from '../limits.ts'
import { whileItRuns } from '../machine-watch.ts'
import { follow } from '../training/follow.ts'
import { saveCheckpoint } from './checkpoint.ts'
import { consoleOf, stoppedExitCode, withEvidence } from './explain.ts'
import { imageToRun } from './image.ts'

export async function train(job: Job, host: Host, plan: Plan, attempt: Attempt): Promise<void> {
  if (job.hasReached('trained') && (await hasFinished(job, host, attempt))) return
  job.begin('training')
  await start(job, host, attempt)
  const { exit, failure, lastStep } = await follow(job, host, plan, attempt)
  await job.change({ lastStep: Math.max(lastStep, job.run.lastStep ?? 0) })

  const gone = !exit && failure.reason === 'machine-lost'
  const finished = exit ? exit.exitCode === 0 : !gone && (await hasFinished(job, host, attempt))
  if (finished) return job.reach('trained', `trained ${lastStep} of ${plan.steps} steps`)
  if (exit?.exitCode === stoppedExitCode) await keepLastCheckpoint(job, host, lastStep)
  throw await withEvidence(job, failure, () => (gone ? consoleOf(job) : host.evidence(attempt.name)))
}

/** As long as the first step may take, a start may: it reads the same image from the same cold disk. */
async function start(job: Job, host: Host, { name }: Attempt): Promise<void> {
  const { limits, containerMemoryBytes: memoryBytes, gpu } = job.settings
  const container = { name, image: imageToRun(job), memoryBytes, gpu, environment: {} }
  await within('firstStep', limits.firstStep, job.ports.clock, job.signal, (outer) =>
    whileItRuns(job, name, outer, (signal) => host.startTrainer(container, signal)),
  )
}

const answerMs = 120_000

/** By the machine's own word, whatever was heard of it: the result is written last. */
async function hasFinished(job: Job, host: Host, { name }: Attempt): Promise<boolean> {
  const limited = { clock: job.ports.clock, signal: job.signal }
  try {
    return await answerWithin(limited, answerMs, 'a look at the result', async (signal) => {
      if ((await host.trainerState(name, signal)) !== 'exited') return false
      return (await host.readFile('out/result.json', 4_000_000, signal)) !== undefined
    })
  } catch {
    job.signal.throwIfAborted()
    return false
  }
}

async function keepLastCheckpoint(job: Job, host: Host, step: number): Promise<void> {
  if (step === 0) return
  await job
    .within('stopping', (signal) => saveCheckpoint(job, host, step, signal))
    .catch((error: Error) => job.record('warning', `the last checkpoint was not saved: ${error.message}`))
}
