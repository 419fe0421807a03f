/**
 * From the machine to the models bucket. Files go to the work bucket first, in equal parts with presigned URLs, and are
 * read back and checked there; then the store copies them below a folder of the models bucket that can't be guessed,
 * and the manifest is written last and only once. Who finds the manifest knows that the rest is there.
 *
 * A worker that has lost its lease may still copy: each attempt has a place of its own, so it never replaces a file that
 * another's manifest lists.
 */
import { randomBytes } from 'node:crypto'
import { Failure } from '../../failure.ts'
import {
  buildManifest,
  type Manifest,
  manifestRef,
  parseResult,
  readManifest,
  type ShippedFile,
} from '../../models/manifest.ts'
import type { Plan } from '../../recipes/plan.ts'
import type { Host, OutputFile } from '../../remote/host.ts'
import type { ObjectRef } from '../../storage/store.ts'
import type { Job } from '../job.ts'
import { throttle } from '../throttle.ts'
import { onMachine } from './on-machine.ts'
import { imageOf } from './prepare.ts'
import { chooseSamples, mediaType } from './samples.ts'

const uploadSpareSeconds = 300

/** In the work bucket: files of a training that the gate refused. */
export function refusedFolder(trainingId: string): string {
  return `refused/${trainingId}/`
}

export function findManifest({ ports, training }: Job): Promise<Manifest | undefined> {
  return readManifest(ports.store, training.id)
}

export async function ship(job: Job, host: Host, plan: Plan): Promise<Manifest> {
  const collectEvidence = () => host.evidence(job.run.attempts.at(-1)?.name ?? '')
  return onMachine(job, 'shipping', collectEvidence, async (signal) => {
    const { clock } = job.ports
    const written = await host.readFile('out/result.json', 4_000_000, signal)
    if (!written) throw new Failure('bad-artifact', 'the trainer ended without a result')
    const result = parseResult(written.toString(), plan)

    const files = await host.outputs('out', signal)
    const models = result.files.map(({ name }) => mustBeThere(files, name))
    const { samples, leftOut } = chooseSamples(files)
    if (leftOut) await job.record('warning', leftOut)
    const sent = [...models, ...samples]
    await Promise.all(sent.map((file) => send(job, host, file, signal)))
    for (const { path } of models) await check(job, path, plan)
    signal.throwIfAborted()

    const folder = await publicFolder(job)
    const published = new Map(
      await Promise.all(sent.map(async (file) => [file, await publish(job, folder, file)] as const)),
    )
    const listed = (each: readonly OutputFile[]) => each.flatMap((file) => published.get(file) ?? [])
    const manifest = buildManifest({
      plan,
      image: imageOf(job),
      imageDigest: job.run.imageDigest,
      result,
      models: listed(models),
      samples: listed(samples),
      shippedAt: clock.now(),
      fewestSteps: job.run.finishedEarly ? 1 : plan.steps,
    })
    const shipped = await writeManifest(job, manifest)
    await job.change({ shippedAt: clock.now(), lastStep: shipped.training.steps })
    await job.reach(
      'shipped',
      `${shipped.models.length} file${shipped.models.length > 1 ? 's' : ''} published`,
    )
    return shipped
  })
}

function mustBeThere(files: readonly OutputFile[], name: string): OutputFile {
  const file = files.find(({ path }) => path === name)
  if (!file) throw new Failure('bad-artifact', `${name} is missing`)
  return file
}

/** Private, and removed with the job's other scratch files. */
function shippingRef(job: Job, path: string): ObjectRef {
  return { bucket: 'work', key: `jobs/${job.training.id}/shipping/${attemptOf(job)}/${path}` }
}

function attemptOf(job: Job): number {
  return job.run.attempts.at(-1)?.number ?? 0
}

/** Sends one file. Sent again after a crash, it replaces itself. */
async function send(job: Job, host: Host, file: OutputFile, signal: AbortSignal): Promise<void> {
  const { store, clock } = job.ports
  const seconds = Math.ceil(job.settings.limits.shipping / 1000) + uploadSpareSeconds
  const upload = await store.beginUpload(
    shippingRef(job, file.path),
    file.size,
    mediaType(file.path),
    seconds,
  )
  try {
    const show = throttle(clock, 1000, (bytes: number) =>
      job.emit('activity', `shipping ${file.path}`, { bytes, total: file.size }),
    )
    const etags = await host.upload(`out/${file.path}`, upload, ({ bytes }) => show(bytes), signal)
    await store.completeUpload(upload, etags, file.size)
  } catch (error) {
    await store.abandonUpload(upload).catch(() => {})
    throw error
  }
}

/** A refused file is kept for inspection, below `refused/` of the work bucket. */
async function check(job: Job, path: string, plan: Plan): Promise<void> {
  const { store, checkArtifact } = job.ports
  const file = shippingRef(job, path)
  try {
    await checkArtifact(file, plan)
  } catch (error) {
    if (error instanceof Failure && error.reason === 'bad-artifact') {
      await store
        .copy(file, { bucket: 'work', key: `${refusedFolder(job.training.id)}${path}` })
        .catch(() => {})
    }
    throw error
  }
}

/** Made once for a run, and kept in it before anything is there; throws LeaseLost where another has the job. */
async function publicFolder(job: Job): Promise<string> {
  const made = job.run.publicFolder ?? `loras/${job.training.id}/${randomBytes(16).toString('hex')}`
  await job.change({ publicFolder: made })
  return made
}

async function publish(job: Job, folder: string, file: OutputFile): Promise<ShippedFile> {
  const { store } = job.ports
  const { path: name, size, sha256 } = file
  const key = `${folder}/${attemptOf(job)}/${name}`
  await store.copy(shippingRef(job, name), { bucket: 'models', key })
  return { name, key, size, sha256, url: store.publicUrl(key) }
}

/** Who comes second takes the manifest that is there, whichever attempt it tells of. */
async function writeManifest(job: Job, manifest: Manifest): Promise<Manifest> {
  const text = JSON.stringify(manifest, null, 2)
  const first = await job.ports.store.writeOnce(manifestRef(job.training.id), text, 'application/json')
  if (first) return manifest
  const before = await findManifest(job)
  if (!before) throw new Failure('store-failed', 'the manifest that another worker wrote is gone again')
  return before
}
