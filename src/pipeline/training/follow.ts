/**
 * A trainer's container followed to its end, from its first line on. It runs by itself; what is added here is
 * attention: progress, checkpoints to the store, five ways to stop early (spot notice, broken GPU, silence, an idle
 * GPU, the deadline), and leaving a machine that is gone.
 */
import { Failure } from '../../failure.ts'
import type { Plan } from '../../recipes/plan.ts'
import { parseTrainerLine, type TrainerLine } from '../../recipes/trainer-line.ts'
import type { Host, MachineEventSource, TrainerExit } from '../../remote/host.ts'
import { costSoFar } from '../../trainings/cost.ts'
import type { Attempt } from '../../trainings/runs.ts'
import { answerWithin, type Beside, messageOf } from '../beside.ts'
import type { Job } from '../job.ts'
import { latest } from '../latest.ts'
import { duration, within } from '../limits.ts'
import { watchMachine } from '../machine-watch.ts'
import { saveCheckpoint } from '../steps/checkpoint.ts'
import { type Complaint, explainExit } from '../steps/explain.ts'
import { throttle } from '../throttle.ts'
import { startWatchdog } from '../watchdog.ts'
import { fileNames } from './file-names.ts'
import { watchIdleGpu } from './gpu-idle.ts'
import { hearNotices } from './notices.ts'
import { startPace } from './pace.ts'
import { finishBeforeDeadline, stopperOf } from './stopping.ts'
import { openWarnings } from './warnings.ts'

export type Followed = {
  /** None if it was stopped by us and did not leave, or its machine went first. */
  readonly exit: TrainerExit | undefined
  /** Why it was stopped or left, if it was not because it had finished. */
  readonly failure: Failure
  readonly lastStep: number
}

const answerMs = 60_000

export async function follow(job: Job, host: Host, plan: Plan, attempt: Attempt): Promise<Followed> {
  const { clock } = job.ports
  const { limits, gpu } = job.settings
  const following = new AbortController()
  const signal = AbortSignal.any([job.signal, following.signal])
  const warnings = await openWarnings(job)
  const named = await fileNames(job)
  const beside: Beside = { clock, signal, say: warnings.say }
  const stopper = stopperOf(job, host, attempt.name, beside, (failure) => following.abort(failure))
  let complaint: Complaint | undefined
  let lastStep = 0
  let lastLoss: number | undefined

  const silence = startWatchdog(clock, limits.firstStep, (limit) => void judgeSilence(limit))
  const pace = startPace(clock)
  const idleGpu = watchIdleGpu(clock, Math.max(limits.stall, limits.firstStep), (limit) => {
    if (gpu) stopper.stop(new Failure('trainer-hung', `the GPU was idle for ${duration(limit)}`))
  })
  void finishBeforeDeadline(job, host, attempt, beside, () => lastStep, stopper.stop)
  void watchMachine(job, attempt.name, signal, stopper.leave)
  void hearNotices(host, beside, { sources: neededSources(job, attempt), stop: stopper.stop, idleGpu })

  /** A silent log may have missed its container's end: an exited container is not asked to stop. */
  async function judgeSilence(limit: number): Promise<void> {
    const said = `no sign of life for ${duration(limit)} after step ${lastStep} of ${plan.steps}`
    const failure = new Failure('trainer-hung', said)
    const state = await answerWithin(beside, answerMs, 'a look at the trainer', (inner) =>
      host.trainerState(attempt.name, inner),
    ).catch(() => 'running')
    if (state === 'exited') stopper.leave(failure)
    else stopper.stop(failure)
  }

  const progress = latest(async (step: number) => {
    const percent = Math.floor((100 * step) / plan.steps)
    const seen = { progress: percent, step, totalSteps: plan.steps, loss: lastLoss }
    await job.ports.trainings.recordProgress(job.training.id, seen)
    if (!signal.aborted) await job.change({ lastStep: step }) // afterwards, `train` has written the last one
  })
  const record = throttle(clock, 1000, progress.write)
  const checkpoints = latest((step: number) => {
    const save = (inner: AbortSignal) => saveCheckpoint(job, host, step, inner)
    return within('shipping', limits.shipping, clock, signal, save).catch((error) => {
      if (!signal.aborted) warnings.say(`the checkpoint of step ${step} was not saved: ${messageOf(error)}`)
    })
  })

  /** Undefined: as long as before. */
  function waitAfter(said: TrainerLine): number | undefined {
    if (said.type === 'step') return pace('step', said.step, limits.stall)
    const least = lastStep > 0 ? limits.stall : limits.firstStep
    return said.type === 'progress' ? pace(said.work, said.done, least) : undefined
  }

  function onLine(line: string): void {
    const said = parseTrainerLine(line)
    if (!said) return
    silence.feed(waitAfter(said))
    switch (said.type) {
      case 'error':
        complaint = { ...said, message: named(said.message) }
        break
      case 'step':
        lastStep = Math.min(said.step, plan.steps)
        lastLoss = said.loss ?? undefined
        record(lastStep)
        job.emit('step', `step ${said.step} of ${said.total}`, stepData(job, said))
        break
      case 'checkpoint':
        checkpoints.write(said.step)
        break
      case 'phase':
        job.emit('activity', said.phase)
        break
      case 'progress':
        job.emit('activity', `${said.work}: ${said.done} of ${said.total}`)
        break
      case 'warning':
        warnings.fromTrainer(named(said.message))
        break
      case 'sample':
        job.emit('sample', `sample of step ${said.step}`, { file: said.file })
        break
    }
  }

  try {
    const exit = await host.followTrainer(attempt.name, onLine, signal)
    silence.stop()
    await checkpoints.idle()
    return { exit, failure: stopper.failure ?? explainExit(exit, complaint), lastStep }
  } catch (error) {
    const failure = stopper.failure ?? error
    if (job.signal.aborted || !(failure instanceof Failure)) throw error
    return { exit: undefined, failure, lastStep }
  } finally {
    following.abort()
    silence.stop()
    if (!job.signal.aborted) await warnings.close()
  }
}

/** What the machine must report: its end where it is a spot machine, its GPU where it has one. */
function neededSources(job: Job, { offer }: Attempt): ReadonlySet<MachineEventSource> {
  return new Set<MachineEventSource>([
    'disk',
    ...(offer.market === 'spot' ? (['spot'] as const) : []),
    ...(job.settings.gpu ? (['gpu', 'kernel log'] as const) : []),
  ])
}

function stepData(job: Job, said: TrainerLine & { type: 'step' }): Record<string, unknown> {
  const { step, total, loss, secondsPerStep } = said
  return {
    step,
    total,
    ...(loss != null && { loss }),
    ...(secondsPerStep != null && {
      secondsPerStep,
      etaSeconds: Math.round((total - step) * secondsPerStep),
    }),
    costUsd: costSoFar(job.run.attempts, job.ports.clock.now()),
  }
}
