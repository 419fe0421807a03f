/**
 * Everything that the trainer reads, brought onto the machine by the machine itself, with URLs that open
 * these objects only. What is there with the right sum is not fetched again. The machine has checked each
 * file by then, so the list of their sums goes beside the weights: no trainer need read them twice.
 *
 * What the store has lost of the job's own files is no end: the dataset is made again, and the training goes on
 * from the checkpoint before, or from the start.
 */
import { type BaseModel, baseKey, readBaseModel, sha256sums } from '../../bases/bases.ts'
import { Failure } from '../../failure.ts'
import type { Plan } from '../../recipes/plan.ts'
import { planText } from '../../recipes/plan-text.ts'
import type { Download, Host, TransferProgress } from '../../remote/host.ts'
import type { ObjectRef } from '../../storage/store.ts'
import { answerWithin } from '../beside.ts'
import type { Job } from '../job.ts'
import { throttle } from '../throttle.ts'
import { type Checkpoint, checkpointRef, forgetCheckpoint, lookForCheckpoints } from './checkpoint.ts'
import { imageToRun, ownImageRefused } from './image.ts'
import { onMachine } from './on-machine.ts'
import { datasetRef, makeDatasetAgain } from './prepared-dataset.ts'
import type { OpenHost } from './provision.ts'

/** URLs live somewhat longer than the limit of the step that uses them. */
const spareSeconds = 600
const answerMs = 120_000

export async function stage(job: Job, host: OpenHost, plan: Plan): Promise<void> {
  const container = job.run.attempts.at(-1)?.name ?? ''
  const limited = { clock: job.ports.clock, signal: job.signal }
  const state = await answerWithin(limited, answerMs, 'a look at the trainer', (signal) =>
    host.trainerState(container, signal),
  )
  if (state !== 'absent') return

  let progress = 'nothing'
  const collectEvidence = async () => `== what had come\n${progress}\n\n${await host.evidence(container)}`
  await onMachine(job, 'pull', collectEvidence, async (signal) => {
    const show = (message: string) => {
      progress = message
      job.emit('activity', message)
    }
    show('pulling the trainer image')
    await host.pull(imageToRun(job), show, signal).catch((error) => {
      throw ownImageRefused(job, error) ?? error
    })
    await keepDigest(job, host, signal)
  })
  progress = 'the image'
  await onMachine(job, 'staging', collectEvidence, async (signal) => {
    await host.writeFile('plan.json', planText(plan), signal)
    const show = throttle(job.ports.clock, 1000, (bytes: number, total: number) =>
      job.emit('activity', `staging ${megabytes(bytes)} of ${megabytes(total)}`, { bytes, total }),
    )
    const onProgress = ({ bytes, totalBytes }: TransferProgress) => {
      progress = `${megabytes(bytes)} of ${megabytes(totalBytes)}`
      show(bytes, totalBytes)
    }
    const base = await plannedBase(job, plan)
    await fetchAll(job, plan, base, (files) => host.download(files, onProgress, signal), signal)
    await host.writeFile('base.sha256sums', sha256sums(base.files), signal)
  })
  await job.reach('staged', 'weights and dataset are on the machine')
}

/** The first machine's: a tag may lead elsewhere by the time of the next one. */
async function keepDigest(job: Job, host: Host, signal: AbortSignal): Promise<void> {
  if (job.run.imageDigest !== undefined) return
  const imageDigest = await host.imageDigest(imageToRun(job), signal)
  if (imageDigest !== undefined) await job.change({ imageDigest })
}

/** The weights that the plan names; others may have been published under that name since. */
async function plannedBase(job: Job, { baseModel: { name, sha256 } }: Plan): Promise<BaseModel> {
  const base = await readBaseModel(job.ports.store, name)
  if (base.sha256 === sha256) return base
  throw new Failure('unknown-model', `the base model "${name}" has been replaced since this job was planned`)
}

/** Returns the paths of those that were spoilt. */
type Fetch = (files: readonly Download[]) => Promise<readonly string[]>

async function fetchAll(
  job: Job,
  plan: Plan,
  base: BaseModel,
  fetch: Fetch,
  signal: AbortSignal,
): Promise<void> {
  const { whole, troubles } = await lookForCheckpoints(job)
  for (const trouble of troubles) await job.record('warning', trouble)
  const [newest, ...older] = whole
  const dataset = await archive(job, datasetRef(job), 'dataset', plan.dataset.sha256)
  const checkpoint = newest && (await checkpointArchive(job, newest))
  const weights = await Promise.all(base.files.map((file) => weightsFile(job, base, file)))

  const spoilt = await fetch([dataset, ...(checkpoint ? [checkpoint] : []), ...weights])
  if (spoilt.includes('dataset')) await fetchNewDataset(job, plan, fetch, signal)
  if (!newest || !spoilt.includes('checkpoint')) return
  await dropCheckpoint(job, newest)
  for (const before of older) {
    const lost = await fetch([await checkpointArchive(job, before)])
    if (lost.length === 0) return
    await dropCheckpoint(job, before)
  }
}

async function fetchNewDataset(job: Job, plan: Plan, fetch: Fetch, signal: AbortSignal): Promise<void> {
  await job.record('warning', 'the prepared dataset was missing or cut in the store; it is made again')
  await makeDatasetAgain(job, plan, signal)
  const spoilt = await fetch([await archive(job, datasetRef(job), 'dataset', plan.dataset.sha256)])
  if (spoilt.length > 0)
    throw new Failure('store-failed', 'the prepared dataset was lost in the store, twice')
}

async function dropCheckpoint(job: Job, { step }: Checkpoint): Promise<void> {
  const message = `the checkpoint of step ${step} is not what it was when it was saved; it is left out`
  await job.record('warning', message)
  await forgetCheckpoint(job, step)
}

function checkpointArchive(job: Job, checkpoint: Checkpoint): Promise<Download> {
  return archive(job, checkpointRef(job, checkpoint), 'checkpoint', checkpoint.sha256)
}

/** One of the job's own files in the work bucket. */
async function archive(job: Job, ref: ObjectRef, path: string, sha256: string): Promise<Download> {
  const size = (await job.ports.store.info(ref))?.size ?? 0
  const url = await job.ports.store.presignRead(ref, urlSeconds(job))
  return { url, path, size, sha256, unpack: true, maySpoil: true }
}

async function weightsFile(
  job: Job,
  base: BaseModel,
  { path, size, sha256 }: BaseModel['files'][number],
): Promise<Download> {
  const ref = { bucket: 'bases', key: baseKey(base.name, path) } as const
  const url = await job.ports.store.presignRead(ref, urlSeconds(job))
  return { url, path: `base/${path}`, size, sha256 }
}

function urlSeconds(job: Job): number {
  return Math.ceil(job.settings.limits.staging / 1000) + spareSeconds
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`
}
