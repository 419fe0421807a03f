/**
 * `npm start`: one worker. It claims jobs and runs them, shows a status page, sends alerts, and every few
 * minutes compares what exists in the cloud with what should.
 *
 * The first SIGTERM, SIGINT or SIGHUP stops claiming, gives the steps under way some time, then hands the jobs over;
 * it is gone 20 s after that time, whatever hangs. A second one stops at once. Either way no machine is forgotten:
 * the next worker goes on.
 */
import { tmpdir } from 'node:os'
import type { Logger } from 'pino'
import {
  type Clients,
  connectClients,
  pipelineSettings,
  pulumiHome,
  pulumiOperations,
  retentionSettings,
} from './clients.ts'
import type { Clock } from './clock.ts'
import { useProxies } from './cloud/pulumi/handed-down.ts'
import { commandLine } from './command-line.ts'
import { type Config, readConfig } from './config.ts'
import { createLogger, logEvent } from './log.ts'
import { createMetrics } from './metrics.ts'
import { listWithLinks } from './models/links.ts'
import { channelsOf } from './notify/channels.ts'
import { sendAlerts } from './notify/send-alerts.ts'
import { availableMemory, memoryWarning } from './operations/memory.ts'
import { preflight } from './operations/preflight.ts'
import type { Leak } from './operations/reaper.ts'
import { sweepRetention } from './operations/retention.ts'
import { watchBudget } from './operations/watch-budget.ts'
import { watchDocuments } from './operations/watch-documents.ts'
import { watchEndings } from './operations/watch-endings.ts'
import { watchLeaks } from './operations/watch-leaks.ts'
import { watchWorkers } from './operations/watch-workers.ts'
import { type ClaimLoop, startClaimLoop } from './pipeline/claim-loop.ts'
import { sweepScratch } from './pipeline/scratch.ts'
import { withoutImage } from './recipes/offerings.ts'
import { endParts } from './stopping.ts'
import { sweepTemporaryFolders } from './temporary-folder.ts'
import { complain } from './terminal.ts'
import { startWeb } from './web/server.ts'
import { statusOf } from './web/status.ts'

const tickMs = 5_000
const beatEveryMs = 15_000

export type Worker = {
  readonly url: string
  /** Settles when everything has stopped, `graceMs` and 19 s later at the latest, with what had to be left. */
  stop(graceMs?: number): Promise<readonly string[]>
}

/** A worker that could do no job takes none. */
export class StartRefused extends Error {
  constructor(problems: readonly string[]) {
    super(`This worker can't work:\n${problems.map((problem) => `  ${problem}`).join('\n')}`)
    this.name = 'StartRefused'
  }
}

/** `look`: what is broken about this worker, at the start, and while it is taken for broken. Throws StartRefused. */
export async function startWorker(
  config: Config,
  log: Logger,
  connect = connectClients,
  look = preflight,
): Promise<Worker> {
  const settings = pipelineSettings(config)
  const lacking = withoutImage(settings.offerings, settings.images)
  if (lacking.length > 0) throw new StartRefused(lacking)
  const connecting = connect(config)
  const probe = () =>
    look({
      pulumi: config.PULUMI_COMMAND,
      provider: config.PULUMI_DEBUG_PROVIDERS
        ? undefined
        : { pulumiHome: pulumiHome(config), network: config.handedDown },
      temporaryFolder: tmpdir(),
      database: async () => (await connecting).ports.clock.synchronise(),
    })
  const problems = await probe()
  if (problems.length > 0) {
    void connecting.then(({ close }) => close()).catch(() => {})
    throw new StartRefused(problems)
  }
  const tooLarge = memoryWarning(pulumiOperations(config), availableMemory())
  if (tooLarge && !config.PULUMI_DEBUG_PROVIDERS) log.warn(tooLarge)
  const removed = await sweepTemporaryFolders()
  if (removed.length > 0) log.info({ removed }, 'temporary folders of processes that are gone')
  const clients = await connecting
  const { ports, comfyUiFolder: folder } = clients
  const metrics = createMetrics(() => loop?.active().length ?? 0)
  let lastPollAt: Date | undefined

  let loop: ClaimLoop | undefined // once the status page listens

  const isRecent = (look: Date | undefined): boolean =>
    look !== undefined &&
    ports.clock.now().getTime() - look.getTime() < 60_000 + config.BELLOWS_POLL_SECONDS * 3000
  const status = statusOf({
    worker: settings.worker,
    ports,
    budget: settings.budget,
    active: () => loop?.active() ?? [],
    health: () => ({
      healthy: isRecent(lastPollAt) && loop?.unfit().length === 0,
      active: loop?.active().length ?? 0,
      lastLookAt: lastPollAt,
    }),
  })
  const web = await startWeb({
    host: config.BELLOWS_HOST,
    port: config.BELLOWS_PORT,
    hostNames: config.BELLOWS_HOST_NAMES ?? [],
    statusToken: config.BELLOWS_STATUS_TOKEN,
    status,
    metrics: metrics.registry,
    files: folder && (() => listWithLinks(folder, ports.store)),
    token: config.BELLOWS_COMFYUI_TOKEN,
  }).catch(async (error: NodeJS.ErrnoException) => {
    await clients.close()
    const { BELLOWS_HOST: host, BELLOWS_PORT: port } = config
    throw new StartRefused([
      `The status page can't listen on ${host}, port ${port} (BELLOWS_HOST, BELLOWS_PORT): ${error.code ?? error.message}`,
    ])
  })
  const claiming = startClaimLoop({
    ports,
    settings,
    limits: { running: config.BELLOWS_MAX_RUNNING, runningPerOwner: config.BELLOWS_MAX_RUNNING_PER_OWNER },
    concurrency: config.BELLOWS_CONCURRENCY,
    pollMs: config.BELLOWS_POLL_SECONDS * 1000,
    onPoll: () => {
      lastPollAt = ports.clock.now()
    },
    onFruitless: metrics.fruitless,
    probe,
    onFitness: (problems) => void announceFitness(clients, config.BELLOWS_WORKER, problems, log),
    onEvent: (event) => {
      logEvent(log, event)
      metrics.record(event)
    },
    onError: (error, job) =>
      log.error({ err: error, ...(job && { job }) }, job ? 'job left unfinished' : 'no answer'),
  })
  loop = claiming
  const ticking = new AbortController()
  const ticks = Promise.all([
    tick(clients, config, log, ticking.signal),
    heartbeat(clients, config.BELLOWS_WORKER, log, ticking.signal),
  ])
  const stopTicking = () => {
    ticking.abort()
    return ticks
  }
  const reaping = new AbortController()
  const cleaning = cleanUp(clients, config, log, reaping.signal)
  log.info({ url: web.url }, 'ready')

  /** At most 19 s longer than `graceMs`: the process is promised to be gone 20 s after it. */
  async function stop(graceMs = config.BELLOWS_SHUTDOWN_SECONDS * 1000): Promise<readonly string[]> {
    const inGrace = { limitMs: graceMs + 1000 }
    const soon = { limitMs: 1000 }
    reaping.abort()
    return endParts([
      [
        {
          name: 'jobs',
          ...inGrace,
          end: () => claiming.stop(graceMs),
          left: () => claiming.active().join(', '),
        },
        { name: 'the reaper', ...inGrace, end: () => cleaning },
      ],
      [
        { name: 'alerts and presence', ...soon, end: () => stopTicking() },
        { name: 'the status page', ...soon, end: () => web.close() },
      ],
      [{ name: 'stacks and connections', limitMs: 17_000, end: () => clients.close() }],
    ])
  }

  return { url: web.url, stop }
}

async function tick({ ports }: Clients, config: Config, log: Logger, signal: AbortSignal): Promise<void> {
  const channels = channelsOf(config.BELLOWS_WEBHOOKS ?? [])
  await every(tickMs, ports.clock, signal, async () => {
    const report = await sendAlerts(ports.alerts, channels).catch((error: Error) => ({
      problems: [error.message],
    }))
    for (const problem of report.problems) log.warn(problem)
    await watch(ports, config).catch((err: Error) => log.error({ err }, 'budgets could not be looked at'))
  })
}

/** Apart from the tick: a leak that is slow to go takes minutes, in which its alert must leave. */
async function cleanUp(
  { ports, records }: Clients,
  config: Config,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  await every(config.BELLOWS_REAP_MINUTES * 60_000, ports.clock, signal, async () => {
    const onLeak = (leak: Leak) => log.warn({ leak }, 'leak')
    await watchLeaks({ ...ports, worker: config.BELLOWS_WORKER, onLeak }).catch((err: Error) =>
      log.error({ err }, 'the reaper could not look'),
    )
    await watchDocuments(ports).catch((err: Error) => log.error({ err }, 'documents could not be looked at'))
    await sweepRetention({ records, ...ports }, retentionSettings(config), ports.clock.now()).catch(
      (err: Error) => log.error({ err }, 'what is older than is kept could not be removed'),
    )
    await sweepScratch(ports).catch((err: Error) => log.error({ err }, 'scratch files could not be swept'))
  })
}

async function heartbeat({ ports }: Clients, name: string, log: Logger, signal: AbortSignal): Promise<void> {
  const self = { name, startedAt: ports.clock.now() }
  while (!signal.aborted) {
    await ports.clock.synchronise().catch(() => {}) // the last word of it stands until the next
    await watchWorkers(ports, self).catch((err: Error) => log.error({ err }, 'no word to the other workers'))
    await ports.clock.sleep(beatEveryMs, signal).catch(() => {})
  }
  await ports.workers
    .leave(name)
    .catch((err: Error) => log.error({ err }, 'the other workers will miss this one'))
}

/** Again and again until the signal aborts; one at a time. */
async function every(
  milliseconds: number,
  clock: Clock,
  signal: AbortSignal,
  work: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(milliseconds, signal).catch(() => {})
    if (!signal.aborted) await work()
  }
}

async function watch(ports: Clients['ports'], config: Config): Promise<void> {
  const limits = { dayUsd: config.BELLOWS_DAY_USD, monthUsd: config.BELLOWS_MONTH_USD }
  await watchBudget(ports, limits, ports.clock.now())
  await watchEndings(ports)
}

/** A worker that is broken takes no work; its operator must know why. */
async function announceFitness(
  { ports }: Clients,
  worker: string,
  problems: readonly string[],
  log: Logger,
): Promise<void> {
  const key = `unfit:${worker}`
  if (problems.length > 0) log.error({ problems }, 'this worker is broken and takes no work')
  const told =
    problems.length > 0
      ? ports.alerts.raise(key, {
          severity: 'critical',
          title: `The worker ${worker} is broken and takes no work`,
          text: `${problems.join('; ')}. Its jobs are taken up by the others; it probes itself until it is well.`,
        })
      : ports.alerts.clear(key, 'It is well again.')
  await told.catch((err: Error) => log.error({ err }, 'the alert could not be raised'))
}

async function main(): Promise<void> {
  commandLine('npm start --', 'One worker. Its settings come from the environment and from .env.').parse()
  let config: Config
  try {
    config = readConfig(process.env)
  } catch (error) {
    complain(error)
    process.exit(configurationIsWrong)
  }
  useProxies(config.handedDown)
  const log = createLogger(config.BELLOWS_LOG_LEVEL, config.BELLOWS_WORKER)
  const starting = startWorker(config, log).catch((error: Error) => {
    if (!(error instanceof StartRefused)) throw error
    complain(error)
    process.exit(configurationIsWrong)
  })
  stopBySignal(starting, log)
  await starting
}

const configurationIsWrong = 78 // EX_CONFIG

/** SIGHUP: its terminal was closed. */
export function stopBySignal(starting: Promise<Worker>, log: Logger): void {
  let stopping = false
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, async () => {
      if (stopping) process.exit(130)
      stopping = true
      log.info(`${signal}: no new jobs; once more stops at once`)
      const left = await starting.then((worker) => worker.stop()).catch((error: Error) => [error.message])
      if (left.length > 0) log.error({ left }, 'stopped, and left what did not end in time')
      process.exit(left.length > 0 ? 1 : 0)
    })
  }
}

if (import.meta.main) await main()
