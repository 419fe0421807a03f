/** What every `Host` does, as one text: the simulated machine and the real one over SSH run it alike. */
import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Host, TrainerContainer } from '../../src/remote/host.ts'

/**
 * What the trainer is to do, as its environment's BEHAVIOUR:
 *
 * - `trains`: prints the lines `{"step":1}` to `{"step":3}`, writes out/model and exits with 0;
 * - `waits`: prints `{"step":1}`, then waits; at SIGTERM writes checkpoint/state.json and exits with 75;
 * - `fails`: prints `{"step":1}`, writes `it broke` to stderr and exits with 3.
 */
export type HostUnderTest = {
  readonly host: Host
  /** Another worker's connection to the same machine. */
  readonly attach: () => Promise<Host>
  readonly image: string
  readonly store: { readonly objects: Map<string, Buffer>; readonly url: (path: string) => string }
}

let containers = 0

export const containerOf = (image: string, behaviour: string): TrainerContainer => ({
  name: `trainer-${++containers}`,
  image,
  memoryBytes: 256 * 2 ** 20,
  gpu: false,
  environment: { BEHAVIOUR: behaviour },
})

export function hostContract(setUp: () => HostUnderTest): void {
  const signal = AbortSignal.timeout(120_000)
  const sum = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
  const steps = ['{"step":1}', '{"step":2}', '{"step":3}']

  test('a file that was written is read again, up to a limit; a missing one is undefined', async () => {
    const { host } = setUp()
    await host.writeFile('notes/plan.json', '{"é":"\'$(id)`"}', signal)
    expect((await host.readFile('notes/plan.json', 1000, signal))?.toString()).toBe('{"é":"\'$(id)`"}')
    expect(await host.readFile('notes/missing', 1000, signal)).toBeUndefined()
    await expect(host.readFile('notes/plan.json', 3, signal)).rejects.toThrow('larger than 3 bytes')
  })

  test('a large file is read whole', async () => {
    const { host, store } = setUp()
    const content = randomBytes(200_000)
    store.objects.set('/large', content)
    const file = { url: store.url('/large'), path: 'large', size: content.length, sha256: sum(content) }
    await host.download([file], () => {}, signal)
    expect((await host.readFile('large', 2 ** 20, signal))?.equals(content)).toBe(true)
  })

  test('a download tells its progress, and a wrong sum fails it', async () => {
    const { host, store } = setUp()
    const content = randomBytes(1000)
    store.objects.set('/file', content)
    const file = { url: store.url('/file'), path: 'base/file', size: 1000, sha256: sum(content) }
    let last: unknown
    await host.download([file], (progress) => (last = progress), signal)
    expect(last).toEqual({ bytes: 1000, totalBytes: 1000 })
    const wrong = { ...file, path: 'base/wrong', sha256: '0'.repeat(64) }
    await expect(host.download([wrong], () => {}, signal)).rejects.toMatchObject({ reason: 'store-failed' })
  })

  test('a trainer is started once, and every follower sees all its lines and its end', async () => {
    const { host, attach, image } = setUp()
    const container = containerOf(image, 'trains')
    expect(await host.trainerState(container.name, signal)).toBe('absent')
    await host.startTrainer(container, signal)
    const lines: string[] = []
    const exit = await host.followTrainer(container.name, (line) => lines.push(line), signal)
    expect(lines).toEqual(steps)
    expect(exit).toMatchObject({ exitCode: 0, outOfMemory: false })
    expect(await host.trainerState(container.name, signal)).toBe('exited')
    const other = await attach()
    await other.startTrainer(container, signal)
    const again: string[] = []
    await other.followTrainer(container.name, (line) => again.push(line), signal)
    other.close()
    expect(again).toEqual(steps)
  })

  test('what a trainer put out is listed and goes up in parts', async () => {
    const { host, image, store } = setUp()
    const container = containerOf(image, 'trains')
    await host.startTrainer(container, signal)
    await host.followTrainer(container.name, () => {}, signal)
    const files = await host.outputs('out', signal)
    expect(files).toEqual([{ path: 'model', size: 6, sha256: sum(Buffer.from('model\n')) }])
    const upload = {
      ref: { bucket: 'models', key: 'model' } as const,
      uploadId: 'upload',
      partBytes: 4,
      urls: [store.url('/part-1'), store.url('/part-2')],
    }
    const etags = await host.upload('out/model', upload, () => {}, signal)
    expect(etags).toHaveLength(2)
    expect(store.objects.get('/part-2')?.toString()).toBe('l\n')
  })

  test('a trainer that fails leaves its exit code and its last words', async () => {
    const { host, image } = setUp()
    const container = containerOf(image, 'fails')
    await host.startTrainer(container, signal)
    const exit = await host.followTrainer(container.name, () => {}, signal)
    expect(exit).toEqual({ exitCode: 3, outOfMemory: false, tail: ['it broke'] })
    expect(await host.evidence(container.name)).toContain('it broke')
  })

  test('a follower that is aborted leaves the trainer alone, and a stop lets it save a checkpoint', async () => {
    const { host, image, store } = setUp()
    const container = containerOf(image, 'waits')
    await host.startTrainer(container, signal)
    const abort = new AbortController()
    const reason = new Error('enough')
    const following = host.followTrainer(container.name, () => abort.abort(reason), abort.signal)
    await expect(following).rejects.toBe(reason)
    expect(await host.trainerState(container.name, signal)).toBe('running')
    await host.stopTrainer(container.name, 20, signal)
    expect(await host.followTrainer(container.name, () => {}, signal)).toMatchObject({ exitCode: 75 })

    const { size, sha256 } = await host.uploadFolder('checkpoint', store.url('/checkpoint.tar'), signal)
    expect(store.objects.get('/checkpoint.tar')).toHaveLength(size)
    const archive = { url: store.url('/checkpoint.tar'), path: 'restored', size, sha256, unpack: true }
    await host.download([archive], () => {}, signal)
    expect((await host.readFile('restored/state.json', 100, signal))?.toString()).toBe('{"step":1}\n')
  })

  test('stopping a trainer that is not there, or has ended, is fine', async () => {
    const { host } = setUp()
    await host.stopTrainer('never-started', 1, signal)
  })
}
