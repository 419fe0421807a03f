/**
 * `npm run bench -- --model SDXL`: our trainer and diffusers' example script one after the other, again and again, on this
 * computer; ends with a table. README.md says what is compared and how.
 */
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { setUp } from '../local/setup/dev-environment.ts'
import { type BaseModelFile, sumOf, weightsIn } from '../src/bases/bases.ts'
import { commandLine, family, positive } from '../src/command-line.ts'
import { type Family, families } from '../src/family.ts'
import { planText } from '../src/recipes/plan-text.ts'
import { cudaTrainer } from '../tools/cuda-images.ts'
import { measure } from './container.ts'
import { contendersFor, planFor } from './contenders.ts'
import { makeDatasets } from './dataset.ts'
import { downloadedScript, exampleScript, givenScript } from './example-scripts.ts'
import { type Figures, summarise } from './figures.ts'
import { examplesImage } from './image.ts'
import { type Overrides, type Settings, settingsFor } from './settings.ts'
import { table } from './table.ts'
import { textLengthOf } from './text-length.ts'
import { trueBase } from './true-base.ts'

const values = commandLine(
  'npm run bench --',
  "Our trainer and diffusers' example script one after the other, again and again, on this computer.",
)
  .option('--model <family>', families.join(', '), family, 'SDXL')
  .option('--base <folder>', "a base model in diffusers' layout")
  .option('--true-size', 'random weights of the true size')
  .option('--gpu', 'on the GPU; implies --true-size')
  .option('--script <file>', 'the example script; default: it is downloaded')
  .option('--rounds <count>', 'how often each is run', positive, 3)
  .option('--steps <count>', 'steps of each run', positive)
  .option('--batch <size>', 'batch size', positive)
  .option('--resolution <pixels>', 'side of the square', positive)
  .option('--rank <rank>', 'rank of the LoRA', positive)
  .parse()
  .opts<{
    model: Family
    base?: string
    trueSize?: boolean
    gpu?: boolean
    script?: string
    rounds: number
    steps?: number
    batch?: number
    resolution?: number
    rank?: number
  }>()
const folder = await mkdtemp(join(tmpdir(), 'bellows-bench-'))
try {
  console.log(await bench())
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function bench(): Promise<string> {
  const { model: family, gpu = false } = values
  const trueSize = gpu || values.trueSize === true || values.base !== undefined
  const settings = settingsFor(family, gpu, overrides(), trueSize)
  const script = exampleScript(family)

  const devEnvironment = await setUp(['images', 'bases', 'photographs'])
  const trainer = settings.gpu ? await cudaTrainer(family) : devEnvironment.images.trainers[family]
  if (!trainer) throw new Error(`The set-up has made no trainer for ${family}.`)
  const base = values.base
    ? resolve(values.base)
    : settings.trueSize
      ? await trueBase(settings, trainer, devEnvironment.cache)
      : devEnvironment.bases[family]
  if (!base) throw new Error(`The set-up has made no base for ${family}.`)
  const images = { trainer, examples: await examplesImage(trainer, settings.gpu) }
  const file = values.script
    ? await givenScript(script, values.script)
    : await downloadedScript(script, devEnvironment.cache)
  await cp(file, join(folder, 'script.py'))
  await cp(new URL('measure.py', import.meta.url), join(folder, 'measure.py'))
  const pictures = await makeDatasets(devEnvironment.photographs, folder, Math.max(512, settings.resolution))
  const weights = await Array.fromAsync(weightsIn(base))

  const contenders = contendersFor(settings, await textLengthOf(base))
  const rounds: Figures[][] = []
  for (let round = 0; round < values.rounds; round++) {
    const figures: Figures[] = []
    for (const contender of contenders) {
      const job = await makeJob(settings, basename(base), weights, pictures)
      const place = { image: images[contender.image], job, bench: folder, base }
      figures.push(await measure(contender, settings, place))
      await rm(job, { recursive: true })
      console.error(`round ${round + 1}: ${contender.name} ${JSON.stringify(figures.at(-1))}`)
    }
    rounds.push(figures)
  }
  return table(
    contenders.map(({ name }) => name),
    summarise(rounds),
    settings.gpu,
  )
}

function overrides(): Overrides {
  const given = {
    steps: values.steps,
    batchSize: values.batch,
    resolution: values.resolution,
    rank: values.rank,
  }
  const written = Object.entries(given).filter(([, value]) => value !== undefined)
  return Object.fromEntries(written)
}

/** A new `/job`, as a machine has it once everything is staged: the base's files have been checked. */
async function makeJob(
  settings: Settings,
  base: string,
  weights: readonly BaseModelFile[],
  pictures: number,
): Promise<string> {
  const job = join(folder, 'job')
  for (const name of ['base', 'out', 'checkpoint']) await mkdir(join(job, name), { recursive: true })
  await cp(join(folder, 'dataset'), join(job, 'dataset'), { recursive: true })
  const plan = planFor(settings, { name: base, sha256: sumOf(weights) }, pictures)
  await writeFile(join(job, 'plan.json'), planText(plan))
  const sorted = weights.toSorted((one, other) => (one.path < other.path ? -1 : 1))
  const lines = sorted.map(({ path, sha256 }) => `${sha256}  ${path}\n`)
  await writeFile(join(job, 'base.sha256sums'), lines.join(''))
  return job
}
