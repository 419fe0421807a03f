/** `npm run bellows -- <command>`: what an operator does by hand. Settings come from the environment, as for the worker. */
import { Command, InvalidArgumentError } from 'commander'
import { connectClients, storeOf } from './clients.ts'
import { reap } from './cloud/reaper.ts'
import { readComfyUiToken, readConfig } from './config.ts'
import { syncComfyUi, watchComfyUi } from './models/comfyui-sync.ts'
import { publishBase } from './recipes/bases.ts'
import { type Family, families } from './recipes/plan.ts'

const program = new Command('bellows').description('One button trains a LoRA.').showHelpAfterError()

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
        onFile: (name: string, what: string, detail: string) => console.log(`${what} ${name}: ${detail}`),
      }
      if (watch) return watchComfyUi(options, every * 1000, (error) => console.error(error.message))
      const { refused } = await syncComfyUi(options)
      if (refused.length > 0) process.exitCode = 1
    },
  )

program
  .command('reap')
  .description('Compare what exists in the cloud with what should, and end what has leaked')
  .option('--dry-run', 'only say what would be done')
  .action(async ({ dryRun = false }: { dryRun?: boolean }) => {
    const clients = await connectClients(readConfig(process.env))
    try {
      const { machines, runs, clock } = clients.ports
      const report = await reap({ machines, runs, now: clock.now, dryRun })
      for (const { thing, reason } of report.leaks)
        console.log(`${thing.kind} ${thing.id} (${thing.name}): ${reason}`)
      for (const name of report.released) console.log(`${name} is gone`)
      for (const { name, error } of report.failed) console.error(`${name} is still there: ${error}`)
      console.log(`${report.found} found, ${report.leaks.length} leaked, ${report.released.length} ended`)
      if (report.failed.length > 0) process.exitCode = 1
    } finally {
      await clients.close()
    }
  })

program
  .command('bases')
  .description('Copy a base model (a diffusers folder) into the bases bucket')
  .argument('<folder>', 'with model_index.json')
  .requiredOption('--name <name>', 'as offerings name it')
  .requiredOption('--family <family>', families.join(', '), family)
  .requiredOption('--licence <licence>', 'SPDX identifier, or name and address of its licence')
  .action(async (folder: string, meta: { name: string; family: Family; licence: string }) => {
    const store = storeOf(readConfig(process.env))
    const base = await publishBase(store, folder, meta, ({ path, size }) => console.log(`${path} ${size}`))
    console.log(`${base.name}: ${base.files.length} files, ${base.sha256}`)
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
      console.log(JSON.stringify(run, null, 2))
      for (const { number, at, kind, message } of await clients.ports.timeline.read(id)) {
        console.log(`${String(number).padStart(4)} ${at.toISOString()} ${kind.padEnd(10)} ${message}`)
      }
    } finally {
      await clients.close()
    }
  })

function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('It must be a number above 0.')
  return value
}

function family(text: string): Family {
  const found = families.find((each) => each === text.toUpperCase())
  if (!found) throw new InvalidArgumentError(`It must be one of ${families.join(', ')}.`)
  return found
}

try {
  await program.parseAsync()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
