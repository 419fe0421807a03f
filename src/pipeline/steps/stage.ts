/**
 * Everything that the trainer reads, brought onto the machine by the machine itself, with URLs that open
 * these objects only. What is there with the right sum is not fetched again. The machine has checked each
 * file by then, so the list of their sums goes beside the weights: no trainer need read them twice.
 */
import { Failure } from '../../failure.ts'
import { type Base, baseKey, readBase, sha256sums } from '../../recipes/bases.ts'
import type { Plan } from '../../recipes/plan.ts'
import { planText } from '../../recipes/plan-text.ts'
import type { Download, TransferProgress } from '../../remote/host.ts'
import type { Job } from '../job.ts'
import { throttle } from '../throttle.ts'
import { checkpointKey, findCheckpoint } from './checkpoint.ts'
import { onMachine } from './on-machine.ts'
import { imageOf } from './prepare.ts'
import type { OpenHost } from './provision.ts'

/** URLs live somewhat longer than the limit of the step that uses them. */
const spareSeconds = 600

export async function stage(job: Job, host: OpenHost, plan: Plan): Promise<void> {
  const container = job.run.attempts.at(-1)?.name ?? ''
  if ((await host.trainerState(container, job.signal)) !== 'absent') return

  let came = 'nothing'
  const look = async () => `== what had come\n${came}\n\n${await host.evidence(container)}`
  await onMachine(job, 'pull', look, (signal) => {
    const show = (message: string) => {
      came = message
      job.show('activity', message)
    }
    show('pulling the trainer image')
    return host.pull(imageOf(job), show, signal)
  })
  came = 'the image'
  await onMachine(job, 'staging', look, async (signal) => {
    await host.writeFile('plan.json', planText(plan), signal)
    const base = await plannedBase(job, plan)
    const files = await downloads(job, plan, base)
    const show = throttle(job.ports.clock, 1000, (bytes: number, total: number) =>
      job.show('activity', `staging ${megabytes(bytes)} of ${megabytes(total)}`, { bytes, total }),
    )
    const onProgress = ({ bytes, totalBytes }: TransferProgress) => {
      came = `${megabytes(bytes)} of ${megabytes(totalBytes)}`
      show(bytes, totalBytes)
    }
    await host.download(files, onProgress, signal)
    await host.writeFile('base.sha256sums', sha256sums(base.files), signal)
  })
  await job.reach('staged', 'weights and dataset are on the machine')
}

/** The weights that the plan names; others may have been published under that name since. */
async function plannedBase(job: Job, { baseModel: { name, sha256 } }: Plan): Promise<Base> {
  const base = await readBase(job.ports.store, name)
  if (base.sha256 === sha256) return base
  throw new Failure('unknown-model', `the base model "${name}" has been replaced since this job was planned`)
}

async function downloads(job: Job, plan: Plan, base: Base): Promise<Download[]> {
  const { store } = job.ports
  const seconds = Math.ceil(job.settings.limits.staging / 1000) + spareSeconds
  const dataset = { bucket: 'work', key: datasetKey(job.training.id) } as const
  const checkpoint = await findCheckpoint(job)

  const weights = base.files.map(async ({ path, size, sha256 }) => ({
    url: await store.presignRead({ bucket: 'bases', key: baseKey(base.name, path) }, seconds),
    path: `base/${path}`,
    size,
    sha256,
  }))
  const archives = [
    { ref: dataset, path: 'dataset', sha256: plan.dataset.sha256 },
    ...(checkpoint
      ? [
          {
            ref: { bucket: 'work', key: checkpointKey(job.training.id, checkpoint.step) } as const,
            path: 'checkpoint',
            sha256: checkpoint.sha256,
          },
        ]
      : []),
  ].map(async ({ ref, path, sha256 }) => ({
    url: await store.presignRead(ref, seconds),
    path,
    size: (await store.info(ref))?.size ?? 0,
    sha256,
    unpack: true,
  }))
  return Promise.all([...archives, ...weights])
}

export function datasetKey(trainingId: string): string {
  return `jobs/${trainingId}/dataset.tar`
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`
}
