/**
 * Training: start the container unless it is there, then follow it to its end, from its first line on. The
 * container runs by itself; what this step adds is attention: progress, checkpoints to the store, five ways to
 * stop early (spot notice, broken GPU, silence, an idle GPU, the deadline), and leaving a machine that is gone.
 */
import { Failure } from '../../failure.ts'
import type { Plan } from '../../recipes/plan.ts'
import { parseTrainerLine, type TrainerLine } from '../../recipes/trainer-line.ts'
import type { Host, Notice, TrainerExit } from '../../remote/host.ts'
import type { Attempt } from '../../trainings/runs.ts'
import { costSoFar } from '../cost.ts'
import type { Job } from '../job.ts'
import { duration, within } from '../limits.ts'
import { watchMachine } from '../machine-watch.ts'
import { throttle } from '../throttle.ts'
import { startWatchdog } from '../watchdog.ts'
import { saveCheckpoint } from './checkpoint.ts'
import { type Complaint, consoleOf, explainExit, stoppedExitCode, withEvidence } from './explain.ts'
import { imageOf } from './prepare.ts'

/** Kernel messages of a GPU that is broken (NVIDIA's Xid catalogue): memory, row remapping, off the bus. */
const brokenGpu: ReadonlySet<number> = new Set([48, 63, 64, 79])

export async function train(job: Job, host: Host, plan: Plan, attempt: Attempt): Promise<void> {
  if (job.hasReached('trained') && (await host.trainerState(attempt.name, job.signal)) === 'exited') {
    if (await host.readFile('out/result.json', 1_000_000, job.signal)) return
  }
  await host.startTrainer(
    {
      name: attempt.name,
      image: imageOf(job),
      memoryBytes: job.settings.containerMemoryBytes,
      gpu: job.settings.gpu,
      environment: {},
    },
    job.signal,
  )
  job.begin('training')
  const { exit, failure, lastStep } = await follow(job, host, plan, attempt)
  await job.change({ lastStep: Math.max(lastStep, job.run.lastStep ?? 0) })

  if (exit?.exitCode === 0) return job.reach('trained', `trained ${lastStep} of ${plan.steps} steps`)
  if (exit?.exitCode === stoppedExitCode) await keepLastCheckpoint(job, host, lastStep)
  const gone = !exit && failure.reason === 'machine-lost'
  throw await withEvidence(job, failure, () => (gone ? consoleOf(job) : host.evidence(attempt.name)))
}

type Followed = {
  /** None if it was stopped by us and did not leave, or its machine went first. */
  readonly exit: TrainerExit | undefined
  /** Why it was stopped or left, if it was not because it had finished. */
  readonly failure: Failure
  readonly lastStep: number
}

async function follow(job: Job, host: Host, plan: Plan, attempt: Attempt): Promise<Followed> {
  const { clock } = job.ports
  const { limits } = job.settings
  const following = new AbortController()
  const signal = AbortSignal.any([job.signal, following.signal])
  let stopped: Failure | undefined
  let complaint: Complaint | undefined
  let lastStep = 0
  let saving: Promise<void> | undefined

  /** Asks the container to save and leave; one that doesn't is left behind with its machine. */
  function stop(failure: Failure): void {
    if (stopped) return
    stopped = failure
    job.show('activity', `stopping the trainer: ${failure.message}`)
    host
      .stopTrainer(attempt.name, limits.stopping / 1000, signal)
      .then(() => clock.sleep(limits.stopping, signal))
      .then(
        () => following.abort(failure),
        () => following.abort(failure),
      )
  }

  /** What was trained by then shall be of use: the trainer is asked to finish, and stopped if it doesn't. */
  async function finishBeforeDeadline(): Promise<void> {
    try {
      await clock.sleep(timeToTrain(job, attempt), signal)
      if (Math.max(lastStep, job.run.lastStep ?? 0) > 0) {
        await job.change({ cutShort: true })
        await host.writeFile('finish', '', signal)
        await job.tell('activity', `the paid time ends: asked the trainer to finish after step ${lastStep}`)
        await clock.sleep(limits.stopping, signal)
      }
    } catch {
      if (signal.aborted) return
    }
    stop(new Failure('over-budget', 'the machine reached the end of the time that is paid for'))
  }

  const silence = startWatchdog(clock, limits.firstStep, (limit) =>
    stop(
      new Failure(
        'trainer-hung',
        `no sign of life for ${duration(limit)} after step ${lastStep} of ${plan.steps}`,
      ),
    ),
  )
  const idleGpu = startWatchdog(clock, Math.max(limits.stall, limits.firstStep), (limit) => {
    if (job.settings.gpu) stop(new Failure('trainer-hung', `the GPU was idle for ${duration(limit)}`))
  })
  void finishBeforeDeadline()
  void watchMachine(job, attempt.name, signal, (failure) => {
    stopped ??= failure
    following.abort(failure)
  })
  void host.watch((notice) => onNotice(notice, stop, idleGpu.feed), signal).catch(() => {})

  const record = throttle(clock, 1000, (step: number, loss: number | undefined) => {
    const progress = { progress: Math.floor((100 * step) / plan.steps), step, totalSteps: plan.steps, loss }
    Promise.all([
      job.ports.trainings.recordProgress(job.training.id, progress),
      job.change({ lastStep: step }),
    ]).catch(() => {})
  })

  function onLine(line: string): void {
    const said = parseTrainerLine(line)
    if (!said) return
    silence.feed(said.type === 'step' ? limits.stall : undefined)
    if (said.type === 'error') complaint = said
    else if (said.type === 'step') {
      lastStep = Math.min(said.step, plan.steps)
      record(lastStep, said.loss ?? undefined)
      job.show('step', `step ${said.step} of ${said.total}`, stepData(job, said))
    } else if (said.type === 'checkpoint' && !saving) {
      const save = (inner: AbortSignal) => saveCheckpoint(job, host, said.step, inner)
      saving = within('shipping', limits.shipping, clock, signal, save)
        .catch((error: Error) =>
          job.show('warning', `checkpoint of step ${said.step} was not saved: ${error.message}`),
        )
        .finally(() => {
          saving = undefined
        })
    } else if (said.type === 'phase') job.show('activity', said.phase)
    else if (said.type === 'warning') void job.tell('warning', said.message).catch(() => {})
    else if (said.type === 'sample') job.show('sample', `sample of step ${said.step}`, { file: said.file })
  }

  try {
    const exit = await host.followTrainer(attempt.name, onLine, signal)
    await saving
    return { exit, failure: stopped ?? explainExit(exit, complaint), lastStep }
  } catch (error) {
    const failure = stopped ?? error
    if (job.signal.aborted || !(failure instanceof Failure)) throw error
    return { exit: undefined, failure, lastStep }
  } finally {
    following.abort()
    silence.stop()
    idleGpu.stop()
  }
}

function onNotice(notice: Notice, stop: (failure: Failure) => void, gpuBusy: () => void): void {
  if (notice.kind === 'spot')
    stop(new Failure('machine-lost', `a spot notice announced its end (${notice.action})`))
  else if (notice.kind === 'xid' && brokenGpu.has(notice.code)) {
    stop(new Failure('machine-broken', `the GPU reported Xid ${notice.code}`, { evidence: notice.line }))
  } else if (notice.kind === 'gpu' && notice.utilisationPercent > 0) gpuBusy()
}

/**
 * Milliseconds until the trainer must finish. The machine switches itself off at its deadline; before it there is time
 * to finish, to stop where that fails, and to ship.
 */
function timeToTrain(job: Job, { deadline, orderedAt }: Attempt): number {
  const { stopping, shipping } = job.settings.limits
  const lead = Math.min(2 * stopping + shipping, (deadline.getTime() - orderedAt.getTime()) / 4)
  return deadline.getTime() - lead - job.ports.clock.now().getTime()
}

async function keepLastCheckpoint(job: Job, host: Host, step: number): Promise<void> {
  if (step === 0) return
  await job
    .within('stopping', (signal) => saveCheckpoint(job, host, step, signal))
    .catch((error: Error) => job.tell('warning', `the last checkpoint was not saved: ${error.message}`))
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
