/**
 * `npm run train -- --model WAN --data <folder> --out <folder>`: trains on this computer in the same container
 * as a job, without database, cloud or store: for people who tune recipes, and for comparing trainers.
 * `--data` holds images, and clips for WAN, with captions beside them (`kite.jpg`, `kite.txt`). Without `--base` the base is tiny
 * and random, and so are the defaults; `--set steps=200 --set rank=8` changes any of them. `--gpu` takes the image for CUDA.
 */
import { randomBytes } from 'node:crypto'
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { InvalidArgumentError } from 'commander'
import { execa } from 'execa'
import { sumOf, weightsIn } from '../src/bases/bases.ts'
import { commandLine, family as familyOption } from '../src/command-line.ts'
import { anyKey } from '../src/datasets/dataset-keys.ts'
import { datasetPreparer } from '../src/datasets/prepare-dataset.ts'
import { type Family, families } from '../src/family.ts'
import { checkArtifact } from '../src/models/artifact.ts'
import { parseResult } from '../src/models/manifest.ts'
import { type WithFileNames, withFileNames } from '../src/pipeline/training/file-names.ts'
import { unknownOverride } from '../src/recipes/misspelt.ts'
import type { Plan } from '../src/recipes/plan.ts'
import { planText } from '../src/recipes/plan-text.ts'
import { recipes } from '../src/recipes/registry.ts'
import { parseTrainerLine } from '../src/recipes/trainer-line.ts'
import { checkTriggerWord } from '../src/recipes/trigger-word.ts'
import { runTrainer, trainerUser } from '../src/remote/argv.ts'
import { makeTemporaryFolder } from '../src/temporary-folder.ts'
import { complain } from '../src/terminal.ts'
import { memoryStore } from '../test/fakes/memory-store.ts'
import { cudaTrainer } from '../tools/cuda-images.ts'
import { bar, createDisplay } from './demo/display.ts'
import { tinyOverrides } from './emulator/offerings.ts'
import { readFolder } from './read-folder.ts'
import { setUp } from './setup/dev-environment.ts'

const values = commandLine(
  'npm run train --',
  'Train on this computer, in the container that a job would have: no database, cloud or store.',
)
  .option('--model <family>', families.join(', '), familyOption, 'SDXL')
  .requiredOption(
    '--data <folder>',
    'images, and clips for WAN, with captions beside them (kite.jpg, kite.txt)',
  )
  .requiredOption('--out <folder>', 'where the LoRA goes')
  .option('--base <folder>', "a base model in diffusers' layout; default: a tiny, random one")
  .option('--gpu', 'take the image for CUDA')
  .option('--trigger <word>', 'trigger word')
  .option('--set <name=value>', 'such as steps=200; any number of times', oneMore, [])
  .parse()
  .opts<{
    model: Family
    data: string
    out: string
    base?: string
    gpu?: boolean
    trigger?: string
    set: readonly string[]
  }>()
const { gpu = false } = values
const ends = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const display = createDisplay(process.stdout)
const job = await makeTemporaryFolder('train')
try {
  await main()
} catch (error) {
  display.done()
  complain(error)
  process.exitCode = 1
} finally {
  await rm(job, { recursive: true, force: true })
}

async function main(): Promise<void> {
  const family = values.model

  const devEnvironment = await setUp(['images', 'bases'])
  const image = gpu ? await cudaTrainer(family) : devEnvironment.images.trainers[family]
  const base = values.base ? resolve(values.base) : devEnvironment.bases[family]
  if (!image || !base) throw new Error(`The set-up has made no trainer for ${family}.`)

  const trainingId = randomBytes(12).toString('hex')
  const dataset = await prepareData(values.data, trainingId, recipes[family].limits)
  const plan = recipes[family].plan({
    trainingId,
    name: `${family.toLowerCase()}-${trainingId.slice(-6)}`,
    triggerWord: checkTriggerWord(values.trigger),
    baseModel: { name: basename(base), sha256: sumOf(await Array.fromAsync(weightsIn(base))) },
    dataset: { images: dataset.images, clips: dataset.clips, sha256: dataset.sha256 },
    captions: dataset.captions,
    overrides: Object.fromEntries(values.set.map(parseOverride)),
    offering: values.base ? {} : tinyOverrides,
  })
  await writeFile(join(job, 'plan.json'), planText(plan))
  for (const folder of ['out', 'checkpoint', 'base']) await mkdir(join(job, folder), { recursive: true })

  await train(image, base, plan, withFileNames(dataset.names))
  await collect(plan, values.out)
}

function oneMore(text: string, before: readonly string[]): readonly string[] {
  const unknown = unknownOverride(parseOverride(text)[0])
  if (unknown) throw new InvalidArgumentError(unknown)
  return [...before, text]
}

/** `steps=200` → `['steps', 200]`. */
function parseOverride(text: string): [string, unknown] {
  const [name = '', value = ''] = text.split(/=(.*)/s)
  try {
    return [name, JSON.parse(value)]
  } catch {
    return [name, value]
  }
}

/** Through the same inspection as a job's dataset, into the job's folder. */
async function prepareData(
  folder: string,
  trainingId: string,
  limits: Parameters<ReturnType<typeof datasetPreparer>>[2],
) {
  const store = memoryStore()
  const { paths, captions, warnings } = await readFolder(folder)
  for (const path of paths)
    await store.writeFile({ bucket: 'datasets', key: path }, join(folder, path), 'image/*')
  for (const warning of warnings) display.line(warning)
  const prepare = datasetPreparer({ store, bucket: { name: 'datasets' }, keys: [anyKey] })
  const dataset = {
    id: trainingId,
    name: folder,
    ownerAccountId: '',
    status: 'ready',
    visibility: 'private',
    accessControl: [],
  }
  const prepared = await prepare(
    trainingId,
    // A name with a colon would be an address without the slash.
    { ...dataset, images: paths.map((path) => `/${path}`), captions, captionSetId: undefined },
    limits,
    new AbortController().signal,
  )
  for (const warning of prepared.warnings) display.line(warning)
  await mkdir(join(job, 'dataset'))
  await execa('tar', ['-x', '-C', join(job, 'dataset')], { input: await store.read(prepared.ref) })
  return prepared
}

/** In the container that a machine would run, in the foreground. */
async function train(image: string, base: string, plan: Plan, named: WithFileNames): Promise<void> {
  const name = `bellows-train-${plan.trainingId}`
  const memoryBytes = values.base ? Math.floor(totalmem() * 0.9) : 4 * 1024 ** 3
  const here: Readonly<Record<string, readonly string[]>> = {
    '--detach': ['--rm'],
    // The user who trains here owns the files, and may keep the weights private.
    [trainerUser]: [`${process.getuid?.()}:${process.getgid?.()}`],
    '/job:/job': [`${job}:/job`, '--volume', `${base}:/job/base:ro`],
  }
  const argv = runTrainer({ name, image, memoryBytes, gpu, environment: {} })
    .slice(2) // no sudo here
    .flatMap((word) => here[word] ?? [word])
  const [program = 'docker', ...rest] = argv
  const container = execa(program, rest, { reject: false, buffer: { stdout: false } })
  const stop = () => void execa('docker', ['stop', '--time', '60', name], { reject: false })
  for (const signal of ends) process.once(signal, stop)
  for await (const text of createInterface({ input: container.stdout })) {
    const line = parseTrainerLine(text)
    if (line?.type === 'step') {
      const pace = line.secondsPerStep ? `  ${line.secondsPerStep.toFixed(3)} s a step` : ''
      display.activity(
        `${bar(line.step / line.total)} ${line.step}/${line.total}  loss ${line.loss?.toFixed(4)}${pace}`,
      )
    } else if (line?.type === 'progress') display.activity(`${line.work}: ${line.done} of ${line.total}`)
    else if (line?.type === 'phase') display.line(line.phase)
    else if (line?.type === 'warning' || line?.type === 'error') display.line(named(line.message))
  }
  const { exitCode, stderr } = await container
  for (const signal of ends) process.off(signal, stop)
  if (exitCode !== 0)
    throw new Error(`The trainer ended with ${exitCode}.\n${stderr.split('\n').slice(-15).join('\n')}`)
}

/** The same gate as a job's, then into the folder that was named. */
async function collect(plan: Plan, out: string): Promise<void> {
  const result = parseResult(await readFile(join(job, 'out/result.json'), 'utf8'), plan)
  for (const { name } of result.files) {
    const bytes = await readFile(join(job, 'out', name))
    await checkArtifact(async (begin, end) => bytes.subarray(begin, end), bytes.length, plan)
  }
  await mkdir(out, { recursive: true })
  await cp(join(job, 'out'), out, { recursive: true })
  await cp(join(job, 'plan.json'), join(out, 'plan.json'))
  display.line(
    `${result.steps} steps in ${result.seconds.toFixed(1)} s, final loss ${result.finalLoss.toFixed(4)}`,
  )
  for (const { name } of result.files) display.line(join(out, name))
}
