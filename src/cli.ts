/** `npm run bellows -- <command>`: the operator's commands. Settings come from the environment, as for the worker. */
import { existsSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { Option } from 'commander'
import { workerPolicy } from '../infra/worker-rights.ts'
import { type PushOptions, pushImages } from '../tools/push-images.ts'
import { type BaseModelFile, publishBaseModel } from './bases/bases.ts'
import { publishFromHub } from './bases/hub-base.ts'
import { openRepository, parseRepositoryName, type RepositoryName } from './bases/hub-repository.ts'
import { connectClients, connectQueue, storeOf } from './clients.ts'
import { handDown, useProxies } from './cloud/pulumi/handed-down.ts'
import { commandLine, family, positive } from './command-line.ts'
import { readComfyUiToken, readConfig, readDatabaseSettings, readPolicySettings } from './config.ts'
import { type Family, families } from './family.ts'
import { syncComfyUi, watchComfyUi } from './models/comfyui-sync.ts'
import { type Forgotten, forget, forgottenText } from './operations/forget.ts'
import { reap } from './operations/reaper.ts'
import { tellSettings } from './operations/settings-file.ts'
import { shownRun } from './operations/show.ts'
import { parseOutputs, stackSettings } from './operations/stack-settings.ts'
import { complain, print } from './terminal.ts'
import { cut, printable } from './text.ts'
import type { Trainings } from './trainings/trainings.ts'

const program = commandLine('npm run bellows --', 'What an operator does by hand.')

program
  .command('sync')
  .description("Bring finished models into a plain ComfyUI's models/loras")
  .requiredOption('--from <url>', "a worker's address")
  .requiredOption('--to <folder>', "ComfyUI's models/loras")
  .option('--watch', 'stay, and look again every few seconds')
  .option('--every <seconds>', 'with --watch: between two looks', positive, 2)
  .action(
    async ({ from, to, watch, every }: { from: string; to: string; watch?: boolean; every: number }) => {
      const { BELLOWS_COMFYUI_TOKEN: token } = readComfyUiToken(process.env)
      if (!token) throw new Error('Set BELLOWS_COMFYUI_TOKEN to the token that the worker was given.')
      const stop = new AbortController()
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
      const options = {
        from,
        to,
        token,
        signal: stop.signal,
        onFile: (name: string, what: string, detail: string) => print(`${what} ${name}: ${detail}`),
      }
      if (watch) return watchComfyUi(options, every * 1000, complain)
      const { refused } = await syncComfyUi(options)
      if (refused.length > 0) process.exitCode = 1
    },
  )

program
  .command('reap')
  .description('Compare what exists in the cloud with what should, and end what has leaked')
  .option('--dry-run', 'only say what would be done')
  .action(async ({ dryRun = false }: { dryRun?: boolean }) => {
    const config = readConfig(process.env)
    const clients = await connectClients(config)
    try {
      const { machines, runs, clock } = clients.ports
      const report = await reap({
        machines,
        runs,
        clock,
        worker: `reap by hand, ${config.BELLOWS_WORKER}`,
        dryRun,
      })
      for (const { thing, reason } of report.leaks)
        print(`${thing.kind} ${thing.id} (${thing.name}): ${reason}`)
      for (const name of report.released) print(`${name} is gone`)
      for (const name of report.skipped) print(`${name} is left to the worker that holds its job`)
      for (const { name, error } of report.failed) complain(`${name} is still there: ${error}`)
      print(`${report.found} found, ${report.leaks.length} leaked, ${report.released.length} ended`)
      if (report.failed.length > 0) process.exitCode = 1
    } finally {
      await clients.close()
    }
  })

program
  .command('bases')
  .description('Copy a base model in the layout of diffusers into the bases bucket')
  .argument('<model>', "a folder with model_index.json, or a hub's owner/name[@revision]")
  .requiredOption('--name <name>', 'as offerings name it')
  .requiredOption('--family <family>', families.join(', '), family)
  .option('--licence <licence>', "SPDX identifier, or name and address; default: the hub's model card's")
  .option('--variant <variant>', 'from a hub: weights of that name where there are some, such as fp16')
  .action(async (model: string, options: BaseOptions) => {
    const config = readConfig(process.env)
    const store = storeOf(config)
    const onFile = ({ path, size }: BaseModelFile) => print(`${path} ${size}`)
    const { name, family, licence } = options
    const base = existsSync(model)
      ? await publishBaseModel(store, model, { name, family, licence: demanded(licence) }, onFile)
      : await publishFromHub(
          store,
          await openRepository(repositoryName(model), { token: config.BELLOWS_HF_TOKEN }),
          { ...options, onFile },
        )
    print(`${base.name}: ${base.files.length} files, ${base.licence}, ${base.sha256}`)
  })

program
  .command('show')
  .description("Print a training's run and its timeline")
  .argument('<training>', 'id')
  .action(async (id: string) => {
    const clients = await connectClients(readConfig(process.env))
    try {
      const run = await clients.ports.runs.read(id)
      if (!run) throw new Error(`Training ${id} has no run: no worker has claimed it.`)
      print(shownRun(run, await clients.ports.timeline.read(id)))
    } finally {
      await clients.close()
    }
  })

program
  .command('pause')
  .description('Stop claiming new jobs, for all workers of the deployment; what runs goes on')
  .argument('[reason]', 'shown on the status page', 'paused by an operator')
  .action((reason: string) =>
    withQueue(async (trainings) => {
      await trainings.pause(shortText(reason))
      const pause = await trainings.paused()
      print(
        pause
          ? `No worker claims a new job since ${pause.since.toISOString()}: ${pause.by}. Jobs that run go on.`
          : 'Claiming was resumed meanwhile.',
      )
    }),
  )

program
  .command('resume')
  .description('Go on claiming after a pause')
  .action(() =>
    withQueue(async (trainings) => {
      await trainings.resume()
      print('Workers claim new jobs.')
    }),
  )

async function withQueue(work: (trainings: Trainings) => Promise<void>): Promise<void> {
  const { trainings, close } = await connectQueue(readDatabaseSettings(process.env))
  try {
    await work(trainings)
  } finally {
    await close()
  }
}

function shortText(text: string): string {
  return cut(printable(text).trim(), 200) || 'no reason given'
}

program
  .command('forget')
  .description('Remove all that is kept of a training, or of the trainings of an account; the ledger stays')
  .argument('<training|account>', 'id')
  .option('--dry-run', 'only say what would be removed')
  .action(async (id: string, { dryRun = false }: { dryRun?: boolean }) => {
    const clients = await connectClients(readConfig(process.env))
    try {
      const { records, ports } = clients
      const onForgotten = (forgotten: Forgotten) => print(forgottenText(forgotten))
      const all = await forget({ records, ...ports }, id, {
        dryRun,
        owner: `forget-${process.pid}`,
        onForgotten,
      })
      if (all.length === 0) print(`Nothing is kept of ${id}.`)
      if (dryRun) print('Nothing was removed: without --dry-run it would be.')
    } finally {
      await clients.close()
    }
  })

program
  .command('policy')
  .description("Print the worker's rights in AWS as a policy, for making its role by hand")
  .action(() => {
    const { BELLOWS_DEPLOYMENT: deployment, AWS_REGION: region } = readPolicySettings(process.env)
    print(JSON.stringify(workerPolicy({ deployment, regions: [region] }), null, 2))
  })

program
  .command('settings')
  .description("Turn the base's outputs, from `pulumi stack output --json`, into the worker's settings")
  .option('--into <file>', 'put them into this file, such as .env, instead of printing them')
  .action(async ({ into }: { into?: string }) => {
    if (process.stdin.isTTY)
      throw new Error('Give it the outputs: pulumi stack output --json | npm run bellows -- settings')
    await tellSettings(stackSettings(parseOutputs(await text(process.stdin))), into)
  })

program
  .command('images')
  .description('The trainers’ images')
  .command('push')
  .description('Build them and push them to a registry; print the settings that name them')
  .argument('<registry>', 'with a path if you like: registry.example.com/bellows')
  .option(
    '--family <family...>',
    `default: ${families.join(', ')}`,
    (text, before: readonly Family[] = []) => [...before, family(text)],
  )
  .addOption(
    new Option('--device <device>', 'machines with a GPU need cuda').choices(['cuda', 'cpu']).default('cuda'),
  )
  .option('--trainer <folder>', 'a trainer of your own in images/, for these families')
  .option('--into <file>', 'put the settings into this file, such as .env, instead of printing them')
  .action(async (registry: string, { family: wanted = families, into, ...options }: PushCommand) => {
    await tellSettings(await pushImages({ registry, families: wanted, say: complain, ...options }), into)
  })

type PushCommand = Pick<PushOptions, 'device' | 'trainer'> & {
  readonly family?: readonly Family[]
  readonly into?: string
}

type BaseOptions = {
  readonly name: string
  readonly family: Family
  readonly licence?: string
  readonly variant?: string
}

function demanded(licence: string | undefined): string {
  if (!licence) throw new Error('A folder needs --licence: SPDX identifier, or name and address.')
  return licence
}

function repositoryName(text: string): RepositoryName {
  const name = parseRepositoryName(text)
  if (!name) throw new Error(`"${text}" is neither a folder nor owner/name[@revision].`)
  return name
}

try {
  useProxies(handDown(process.env))
  await program.parseAsync()
} catch (error) {
  complain(error)
  process.exitCode = 1
}
