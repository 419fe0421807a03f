/** One contender's run, in a container that is shut in as a machine's is. */
import { readFile } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { runTrainer, trainerUser } from '../src/remote/argv.ts'
import { type Contender, paths } from './contenders.ts'
import { type Figures, figuresOf } from './figures.ts'
import type { Settings } from './settings.ts'

export type Mounts = {
  readonly image: string
  /** Folder that becomes `/job`, with the plan and the dataset in it. */
  readonly job: string
  /** Folder that becomes `/bench`. */
  readonly bench: string
  readonly base: string
}

const runLimitMs = 60 * 60_000

/** @throws with the end of what the contender printed, unless it did all its steps */
export async function measure(contender: Contender, settings: Settings, place: Mounts): Promise<Figures> {
  const name = `bellows-bench-${process.pid}`
  const container = await execa('docker', runArguments(name, contender, settings, place), {
    reject: false,
    all: true,
    timeout: runLimitMs,
  })
  const inspected = await execa(
    'docker',
    ['container', 'inspect', '--format', '{{.State.StartedAt}}', name],
    {
      reject: false,
    },
  )
  await execa('docker', ['rm', '--force', name], { reject: false })
  if (container.failed) {
    const lines = (container.all ?? '').split('\n').slice(-15).join('\n')
    throw new Error(`${contender.name} ended with ${container.exitCode ?? container.signal}.\n${lines}`)
  }
  const report = await readFile(join(place.job, 'report.json'), 'utf8')
  return figuresOf(JSON.parse(report), Date.parse(inspected.stdout) / 1000)
}

/** For `docker`: as on a machine, but in the foreground, as the user who owns the folders. */
export function runArguments(
  name: string,
  { program }: Contender,
  settings: Settings,
  { image, job, bench, base }: Mounts,
): readonly string[] {
  const memoryBytes = settings.trueSize ? Math.floor(totalmem() * 0.9) : 6 * 1024 ** 3
  // The tiny models' small kernels run slower on two threads, in every trainer.
  const environment: Readonly<Record<string, string>> = settings.trueSize ? {} : { OMP_NUM_THREADS: '1' }
  const here: Readonly<Record<string, readonly string[]>> = {
    '--detach': ['--entrypoint', 'python3'],
    [trainerUser]: [`${process.getuid?.()}:${process.getgid?.()}`],
    '/job:/job': [
      ...[`${job}:/job`, '--volume', `${base}:${paths.base}:ro`],
      ...['--volume', `${bench}:/bench:ro`],
    ],
  }
  const [, , , ...argv] = runTrainer({ name, image, memoryBytes, gpu: settings.gpu, environment }) // sudo -n docker
  const measured = [paths.measure, paths.report, String(settings.steps), ...program]
  return [...argv.flatMap((word) => here[word] ?? [word]), ...measured]
}
