/**
 * From the machine to the models bucket: files in equal parts with presigned URLs, read back and checked,
 * then the manifest, written last and only once. Who finds the manifest knows that the rest is there.
 */
import { Failure } from '../../failure.ts'
import {
  buildManifest,
  type Manifest,
  manifestKey,
  parseManifest,
  parseResult,
} from '../../models/manifest.ts'
import type { Plan } from '../../recipes/plan.ts'
import type { Host, OutputFile } from '../../remote/host.ts'
import type { ObjectRef } from '../../storage/store.ts'
import type { Job } from '../job.ts'
import { throttle } from '../throttle.ts'
import { onMachine } from './on-machine.ts'
import { imageOf } from './prepare.ts'

export type Shipped = Manifest

const uploadSpareSeconds = 300

export async function findShipped(job: Job): Promise<Shipped | undefined> {
  const ref: ObjectRef = { bucket: 'models', key: manifestKey(job.training.id) }
  if (!(await job.ports.store.info(ref))) return undefined
  return parseManifest((await job.ports.store.read(ref, { maxBytes: 4_000_000 })).toString())
}

export async function ship(job: Job, host: Host, plan: Plan): Promise<Shipped> {
  const look = () => host.evidence(job.run.attempts.at(-1)?.name ?? '')
  return onMachine(job, 'shipping', look, async (signal) => {
    const { store, checkArtifact, clock } = job.ports
    const written = await host.readFile('out/result.json', 4_000_000, signal)
    if (!written) throw new Failure('bad-artifact', 'the trainer ended without a result')
    const result = parseResult(written.toString())

    const files = await host.outputs('out', signal)
    const models = result.files.map(({ name }) => mustBeThere(files, name))
    const samples = files.filter(({ path }) => /^samples\/[\w.-]+\.(?:png|jpe?g|webp)$/.test(path))
    const [shippedModels, shippedSamples] = await Promise.all([
      Promise.all(models.map((file) => send(job, host, file, 'application/octet-stream', signal))),
      Promise.all(samples.map((file) => send(job, host, file, mediaType(file.path), signal))),
    ])
    for (const { key } of shippedModels) await checkArtifact({ bucket: 'models', key }, plan)

    const manifest = buildManifest({
      plan,
      image: imageOf(job),
      imageDigest: job.run.imageDigest,
      result,
      models: shippedModels,
      samples: shippedSamples,
      shippedAt: clock.now(),
      fewestSteps: job.run.cutShort ? 1 : plan.steps,
    })
    const ref: ObjectRef = { bucket: 'models', key: manifestKey(job.training.id) }
    const first = await store.writeOnce(ref, JSON.stringify(manifest, null, 2), 'application/json')
    const shipped = first ? manifest : ((await findShipped(job)) ?? manifest)
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

/** Sends one file. Sent again after a crash, it replaces itself. */
async function send(job: Job, host: Host, file: OutputFile, type: string, signal: AbortSignal) {
  const { store, clock } = job.ports
  const key = `loras/${job.training.id}/${file.path}`
  const ref: ObjectRef = { bucket: 'models', key }
  const seconds = Math.ceil(job.settings.limits.shipping / 1000) + uploadSpareSeconds
  const upload = await store.beginUpload(ref, file.size, type, seconds)
  try {
    const show = throttle(clock, 1000, (bytes: number) =>
      job.show('activity', `shipping ${file.path}`, { bytes, total: file.size }),
    )
    const etags = await host.upload(`out/${file.path}`, upload, ({ bytes }) => show(bytes), signal)
    await store.completeUpload(upload, etags, file.size)
  } catch (error) {
    await store.abandonUpload(upload).catch(() => {})
    throw error
  }
  return { name: file.path, key, size: file.size, sha256: file.sha256, url: store.publicUrl(key) }
}

function mediaType(path: string): string {
  if (path.endsWith('.png')) return 'image/png'
  return path.endsWith('.webp') ? 'image/webp' : 'image/jpeg'
}
