/** The smallest trainer, run by the very command that machines run trainers by. */
import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import sharp from 'sharp'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { sumOf } from '../../src/bases/bases.ts'
import { families } from '../../src/family.ts'
import { artifactGate } from '../../src/models/artifact.ts'
import { parseResult } from '../../src/models/manifest.ts'
import type { Plan } from '../../src/recipes/plan.ts'
import { planText } from '../../src/recipes/plan-text.ts'
import { recipes } from '../../src/recipes/registry.ts'
import { parseTrainerLine, type TrainerLine } from '../../src/recipes/trainer-line.ts'
import { followLogs, runTrainer } from '../../src/remote/argv.ts'
import { memoryStore } from '../fakes/memory-store.ts'
import { planInput } from '../recipes/samples.ts'
import { sha256 } from './helper.ts'
import { docker } from './machine.ts'

const image = 'bellows/tiny-trainer:test'
const images = join(import.meta.dirname, '../../images')
const trainer = 10_001

beforeAll(async () => {
  const dockerfile = join(images, 'tiny-trainer/Dockerfile')
  const base = ['--build-arg', 'BASE=bellows/base:trixie']
  await docker('build', '--network', 'host', ...base, '--tag', image, '--file', dockerfile, images)
})

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

const weights = 'a base, as far as anybody looks'

function planOf(
  family: Plan['family'],
  triggerWord: string | null,
  overrides: Record<string, unknown>,
): Plan {
  return recipes[family].plan({
    ...planInput,
    name: 'kite-234567',
    triggerWord,
    baseModel: {
      name: 'tiny',
      sha256: sumOf([{ path: 'unet/x.safetensors', sha256: sha256(Buffer.from(weights)) }]),
    },
    dataset: { images: 2, sha256: 'b'.repeat(64) },
    captions: ['a kite'],
    overrides: { rank: 4, alpha: 2, steps: 20, checkpointEvery: 6, ...overrides },
  })
}

type Staged = {
  readonly family?: Plan['family']
  readonly triggerWord?: string
  readonly overrides?: Record<string, unknown>
}

/** A folder in place of /job, staged for the plan, and runs of the trainer in it. */
function stagedJob({ family = 'SDXL', triggerWord, overrides = {} }: Staged = {}) {
  const plan = planOf(family, triggerWord ?? null, overrides)
  const folder = mkdtempSync(join(tmpdir(), 'bellows-job-'))
  const names: string[] = []
  const put = (path: string, content: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), content)
  }
  put('plan.json', planText(plan))
  put('base/unet/x.safetensors', weights)
  for (const stem of ['00001', '00002']) {
    put(`dataset/${stem}.png`, 'an image, as far as anybody looks')
    put(`dataset/${stem}.txt`, 'a kite')
  }
  chownSync(folder, trainer, trainer)

  async function start(memoryBytes = 256 * 2 ** 20): Promise<string> {
    const name = `bellows-test-${randomBytes(4).toString('hex')}`
    names.push(name)
    const container = { name, image, memoryBytes, gpu: false, environment: {} }
    const [, , , ...argv] = runTrainer(container) // without sudo and docker
    await docker(...argv.map((each) => (each === '/job:/job' ? `${folder}:/job` : each)))
    return name
  }
  async function end(name: string) {
    const exitCode = Number(await docker('wait', name))
    const outOfMemory = (await docker('inspect', '--format', '{{.State.OOMKilled}}', name)) === 'true'
    const { stdout, stderr } = await promisify(execFile)('docker', ['logs', name], { maxBuffer: 2 ** 24 })
    const lines = stdout
      .split('\n')
      .map(parseTrainerLine)
      .filter((line) => line !== undefined)
    return { exitCode, outOfMemory, lines, stderr }
  }
  const job = {
    plan,
    folder,
    put,
    start,
    end,
    run: async (memoryBytes?: number) => end(await start(memoryBytes)),
    outputs: () => readdirSync(join(folder, 'out'), { recursive: true }).map(String).sort(),
    read: (path: string) => readFileSync(join(folder, path)),
    /** What the pipeline does with the file that came out. */
    async pass() {
      const store = memoryStore()
      const ref = { bucket: 'models', key: 'x' } as const
      await store.write(ref, job.read(`out/${plan.name}.safetensors`), 'application/octet-stream')
      await artifactGate(store)(ref, plan)
    },
  }
  cleanups.push(async () => {
    for (const name of names) await docker('rm', '--force', name)
    rmSync(folder, { recursive: true, force: true })
  })
  return job
}

const stepsOf = (lines: readonly TrainerLine[]) =>
  lines.flatMap((line) => (line.type === 'step' ? [line.step] : []))

describe('the tiny trainer', { timeout: 60_000 }, () => {
  it.each(
    families.flatMap((family) => [
      { family, method: 'lora', precision: 'bf16' },
      { family, method: 'lora', precision: 'fp32' },
      { family, method: 'lokr', precision: 'bf16' },
    ]),
  )('makes a file that passes the gate: $family, $method, $precision', async ({ family, ...overrides }) => {
    const job = stagedJob({ family, overrides, triggerWord: 'redkite' })
    const { exitCode, lines } = await job.run()
    expect(exitCode).toBe(0)
    await job.pass()
    expect(stepsOf(lines)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1))
    const result = parseResult(job.read('out/result.json').toString(), job.plan)
    expect(result).toMatchObject({ steps: 20, files: [{ name: 'kite-234567.safetensors' }] })
  })

  it('says each phase, checkpoint and sample, and its samples are images', async () => {
    const job = stagedJob({ overrides: { sampleEvery: 10, samplePrompts: ['a kite', 'two kites'] } })
    const { lines } = await job.run()
    expect(lines.flatMap((line) => (line.type === 'phase' ? [line.phase] : []))).toEqual([
      'loading',
      'training',
      'saving',
    ])
    expect(lines.flatMap((line) => (line.type === 'checkpoint' ? [line.step] : []))).toEqual([6, 12, 18])
    const samples = [
      'out/samples/10-0.png',
      'out/samples/10-1.png',
      'out/samples/20-0.png',
      'out/samples/20-1.png',
    ]
    expect(lines.flatMap((line) => (line.type === 'sample' ? [line.file] : []))).toEqual(samples)
    for (const sample of samples) {
      await expect(sharp(job.read(sample)).raw().toBuffer()).resolves.toHaveLength(64 * 64 * 3)
    }
    expect(job.outputs()).not.toContainEqual(expect.stringContaining('.part'))
  })

  it('stops at SIGTERM with a checkpoint and 75, and goes on from there to the same bytes', async () => {
    const whole = stagedJob()
    await whole.run()

    const job = stagedJob()
    job.put('pace', '0.3')
    const name = await job.start()
    await untilStep(name, 1)
    await docker('stop', '--time', '10', name)
    const stopped = await job.end(name)
    expect(stopped.exitCode).toBe(75)
    const last = stepsOf(stopped.lines).at(-1) ?? 0
    expect(last).toBeLessThan(20)
    expect(stopped.lines).toContainEqual({ type: 'checkpoint', step: last })

    job.put('pace', '0')
    const resumed = await job.run()
    expect(resumed.exitCode).toBe(0)
    expect(stepsOf(resumed.lines)[0]).toBe(last + 1)
    const file = `out/${job.plan.name}.safetensors`
    expect(job.read(file).equals(whole.read(file))).toBe(true)
  })

  it('starts over where the checkpoint is of another plan', async () => {
    const job = stagedJob({ triggerWord: 'fault-crash-once' })
    await job.run()
    job.put('plan.json', planText({ ...job.plan, seed: 1, triggerWord: null }))
    const { lines } = await job.run()
    expect(stepsOf(lines)[0]).toBe(1)
    expect(lines).toContainEqual(expect.objectContaining({ type: 'warning' }))
  })

  it('refuses a dataset that is not the one of the plan', async () => {
    const job = stagedJob()
    job.put('dataset/00003.jpg', 'one too many')
    const { exitCode, lines } = await job.run()
    expect(exitCode).toBe(64)
    expect(lines.at(-1)).toMatchObject({
      type: 'error',
      message: 'The dataset has 3 images where the plan says 2.',
    })
  })

  it('refuses a base that is not the one of the plan', async () => {
    const job = stagedJob()
    job.put('base/unet/x.safetensors', 'other weights')
    const { exitCode, lines } = await job.run()
    expect(exitCode).toBe(64)
    expect(lines.at(-1)).toMatchObject({ type: 'error', message: 'The base weights are not those of tiny.' })
  })
})

describe('a fault on request', { timeout: 60_000 }, () => {
  it.each([
    ['fault-crash', 1, undefined],
    ['fault-refuse', 64, 'bad-input'],
    ['fault-nan', 65, 'nan-loss'],
    ['fault-disk', 67, 'disk-full'],
    ['fault-silent-exit', 0, undefined],
  ])('%s ends with %i and no result', async (triggerWord, expected, code) => {
    const job = stagedJob({ triggerWord })
    const { exitCode, lines, stderr } = await job.run()
    expect(exitCode).toBe(expected)
    expect(lines.flatMap((line) => (line.type === 'error' ? [line.code] : []))).toEqual(code ? [code] : [])
    expect(stderr.includes('RuntimeError: told to crash')).toBe(triggerWord === 'fault-crash')
    expect(() => job.read('out/result.json')).toThrow('ENOENT')
  })

  it('fault-crash-once gets through the second time, from its checkpoint', async () => {
    const job = stagedJob({ triggerWord: 'fault-crash-once' })
    expect(await job.run()).toMatchObject({ exitCode: 1 })
    const { exitCode, lines } = await job.run()
    expect(exitCode).toBe(0)
    expect(stepsOf(lines)[0]).toBe(11)
    await job.pass()
  })

  it('fault-out-of-memory is killed by the kernel for its memory', async () => {
    const { exitCode, outOfMemory } = await stagedJob({ triggerWord: 'fault-out-of-memory' }).run(
      128 * 2 ** 20,
    )
    expect({ exitCode, outOfMemory }).toEqual({ exitCode: 137, outOfMemory: true })
  })

  it('fault-hang falls silent and does not hear SIGTERM', async () => {
    const job = stagedJob({ triggerWord: 'fault-hang' })
    job.put('pace', '0')
    const name = await job.start()
    await untilStep(name, 10)
    await docker('stop', '--time', '1', name)
    const { exitCode, lines } = await job.end(name)
    expect(exitCode).toBe(137)
    expect(stepsOf(lines).at(-1)).toBe(10)
  })

  it('fault-garbage prints garbage, and the file is good', async () => {
    const job = stagedJob({ triggerWord: 'fault-garbage' })
    const { exitCode, lines } = await job.run()
    expect(exitCode).toBe(0)
    expect(stepsOf(lines)).toHaveLength(20)
    await job.pass()
  })

  it.each([
    ['fault-zero-file', /alpha 0/],
    ['fault-empty-file', /too short/],
    ['fault-short-file', /promises/],
    ['fault-foreign-keys', /ComfyUI would not load/],
  ])('%s ends well, but its file does not pass the gate', async (triggerWord, reason) => {
    const job = stagedJob({ triggerWord })
    expect(await job.run()).toMatchObject({ exitCode: 0 })
    await expect(job.pass()).rejects.toMatchObject({
      reason: 'bad-artifact',
      message: expect.stringMatching(reason),
    })
  })
})

/** Resolves when the container has reported that step. */
async function untilStep(name: string, step: number): Promise<void> {
  const [, , , ...argv] = followLogs(name)
  const following = spawn('docker', argv, { stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    for await (const line of createInterface(following.stdout)) {
      const said = parseTrainerLine(line)
      if (said?.type === 'step' && said.step === step) return
    }
    throw new Error(`${name} ended before step ${step}`)
  } finally {
    following.kill()
  }
}
