/**
 * A whole deployment in memory: database, store, cloud and machines, shared by as many workers as a test
 * wants. The workflow is the real one; only its ports are simulated, and time is virtual.
 *
 * A worker that is killed does nothing more: its calls under way never answer it (though what they do may
 * still happen, as a request that has left a dead process does), and those to come never leave.
 */
import { createHash } from 'node:crypto'
import { sumOf } from '../../src/bases/bases.ts'
import type { Offer } from '../../src/cloud/machines.ts'
import { datasetPreparer } from '../../src/datasets/prepare-dataset.ts'
import type { PrepareDataset } from '../../src/datasets/prepared-dataset.ts'
import { watchLeaks } from '../../src/operations/watch-leaks.ts'
import { type ClaimLoop, startClaimLoop } from '../../src/pipeline/claim-loop.ts'
import type { JobEvent } from '../../src/pipeline/events.ts'
import type { CheckArtifact, Ports } from '../../src/pipeline/ports.ts'
import { sweepScratch } from '../../src/pipeline/scratch.ts'
import type { PipelineSettings } from '../../src/pipeline/settings.ts'
import { parseTrainerLine } from '../../src/recipes/trainer-line.ts'
import type { CheckImage } from '../../src/registries/image-check.ts'
import type { Lease } from '../../src/trainings/runs.ts'
import { memoryAlerts } from '../fakes/memory-alerts.ts'
import { memoryBudget } from '../fakes/memory-budget.ts'
import { memoryComfyUiFolder } from '../fakes/memory-comfyui-folder.ts'
import { memoryDatasets } from '../fakes/memory-datasets.ts'
import { memoryRemote } from '../fakes/memory-host.ts'
import { memoryLedger } from '../fakes/memory-ledger.ts'
import { type MemoryMachines, memoryMachines } from '../fakes/memory-machines.ts'
import { memoryModels } from '../fakes/memory-models.ts'
import { memoryRuns } from '../fakes/memory-runs.ts'
import { type MemoryStore, memoryStore } from '../fakes/memory-store.ts'
import { memoryTimeline } from '../fakes/memory-timeline.ts'
import { memoryTrainings } from '../fakes/memory-trainings.ts'
import { type SimulatedMachine, simulatedMachine, type TrainerScript } from '../fakes/simulated-machine.ts'
import { emptyTar } from './empty-tar.ts'
import { goodTrainer } from './good-trainer.ts'
import { leaseMonitor } from './lease-monitor.ts'
import { offers as defaultOffers, settings as defaultSettings } from './settings.ts'
import { type VirtualClock, virtualClock } from './virtual-clock.ts'

export type Call = {
  readonly port: string
  readonly verb: string
  readonly index: number
  readonly values: readonly unknown[]
}

/** Called around each call of a port; may throw, wait on the clock, or kill the worker. */
export type Interference = {
  readonly before?: (call: Call) => void | Promise<void>
  readonly after?: (call: Call) => void | Promise<void>
}

export type WorldOptions = {
  readonly settings?: Partial<PipelineSettings>
  readonly offers?: readonly Offer[]
  readonly trainer?: (attemptName: string) => TrainerScript
  /** Milliseconds that one thing on a machine takes. */
  readonly turnMs?: () => number
  readonly moment?: Parameters<typeof memoryMachines>[0] extends infer O
    ? O extends { moment?: infer M }
      ? M
      : never
    : never
  readonly maxRunning?: number
  /** Jobs that a worker runs at once. Default 2. */
  readonly concurrency?: number
  /** Decodes and packs the images for real, from the store. Otherwise every dataset is good, and empty. */
  readonly prepareDataset?: 'real'
  readonly checkArtifact?: CheckArtifact
  /** Otherwise every image is there. */
  readonly checkImage?: CheckImage
  /** A deployment in whose cloud account this one is too, with a database of its own, such as a rehearsal of it. */
  readonly beside?: { readonly clock: VirtualClock; readonly machines: MemoryMachines }
}

/** The public domain of the datasets bucket. */
export const imagesUrl = 'https://images.example'

export type World = ReturnType<typeof createWorld>

export function createWorld(options: WorldOptions = {}) {
  const { maxRunning = 3, concurrency = 2, turnMs = () => 100, trainer = () => goodTrainer } = options
  const clock: VirtualClock = options.beside?.clock ?? virtualClock()
  const now = clock.now
  const runs = memoryRuns(now)
  const trainings = memoryTrainings({ now, isHeld: runs.isHeld, isUnfinished: runs.isUnfinished })
  const datasets = memoryDatasets()
  const ledger = memoryLedger(now)
  const budget = memoryBudget()
  const models = memoryModels()
  const comfyUi = memoryComfyUiFolder(now)
  const alerts = memoryAlerts(now)
  const timeline = memoryTimeline()
  const store: MemoryStore = memoryStore({ now: () => now().getTime() })
  const machines: MemoryMachines =
    options.beside?.machines.as('rehearsal') ??
    memoryMachines({
      offers: options.offers ?? defaultOffers,
      now,
      ...(options.moment && { moment: options.moment }),
    })
  const insides = new Map<string, SimulatedMachine>()
  const events: JobEvent[] = []
  const fruitless: string[] = []
  const errors: { readonly trainingId: string | undefined; readonly error: unknown }[] = []
  const monitor = leaseMonitor()
  const trained = new Set<string>()
  let mostRunning = 0

  /** The inside of a machine that runs; gone with its instance. */
  function inside(name: string): SimulatedMachine | undefined {
    const instance = machines.made().findLast((each) => each.name === name)
    if (!instance?.running) return undefined
    const known = insides.get(instance.instanceId) ?? simulatedMachine(trainer(name))
    insides.set(instance.instanceId, known)
    return known
  }

  const remote = memoryRemote({
    find: ({ name }) => inside(name),
    web: {
      get: async (url) => {
        const answer = await store.fetch(url)
        return answer.ok ? Buffer.from(await answer.arrayBuffer()) : undefined
      },
      put: async (url, body) => {
        const answer = await store.fetch(url, { method: 'PUT', body })
        if (!answer.ok) throw new Error(`PUT answered ${answer.status}`)
        return answer.headers.get('etag') ?? ''
      },
    },
    turn: () => clock.sleep(turnMs()),
  })

  const preparedBlindly: PrepareDataset = async (trainingId, dataset) => {
    const ref = { bucket: 'work', key: `jobs/${trainingId}/dataset.tar` } as const
    const body = emptyTar()
    await store.write(ref, body, 'application/x-tar')
    const sha256 = createHash('sha256').update(body).digest('hex')
    const { images, captions } = dataset
    return {
      ref,
      size: body.length,
      sha256,
      images: images.length,
      clips: 0,
      captions,
      warnings: [],
      names: images,
    }
  }

  function preparedForReal(): PrepareDataset {
    const prepare = datasetPreparer({
      store,
      bucket: { name: 'datasets', publicUrl: imagesUrl },
      keys: ['*'],
    })
    return (...values) => clock.standStill(prepare(...values))
  }

  const isThere: CheckArtifact = async (file) => {
    if (!(await store.info(file))) throw new Error(`${file.key} is not in the store`)
  }

  const shared: Ports = {
    trainings,
    runs,
    timeline,
    datasets,
    models,
    comfyUi,
    ledger,
    budget,
    store,
    machines,
    remote,
    alerts,
    clock,
    prepareDataset: options.prepareDataset ? preparedForReal() : preparedBlindly,
    checkArtifact: options.checkArtifact ?? isThere,
    checkImage: options.checkImage ?? (async () => {}),
  }

  /** Trained to its last step and ended or deleted by people while it waited: it is delivered without a slot. */
  function isDelivered(id: string): boolean {
    const status = trainings.document(id)?.status
    return status !== 'QUEUED' && status !== 'RUNNING' && trained.has(id)
  }

  function startWorker(name: string, interference: Interference = {}) {
    let alive = true
    let calls = 0
    let awakeSince = 0
    let awake = Promise.resolve()
    const dead = new Promise<never>(() => {})

    function through<T extends object>(port: string, target: T, machine?: string): T {
      return new Proxy(target, {
        get(object, verb, receiver) {
          const value = Reflect.get(object, verb, receiver)
          if (
            typeof value !== 'function' ||
            typeof verb === 'symbol' ||
            verb === 'now' ||
            verb === 'close' ||
            verb === 'publicUrl'
          )
            return value
          return async (...values: unknown[]) => {
            if (!alive) return dead
            await awake
            if (!alive) return dead
            const call = { port, verb: String(verb), index: port === 'clock' ? -1 : calls++, values }
            if (port !== 'clock') await interference.before?.(call)
            await awake
            if (!alive) return dead
            const answer = await held(machine, () =>
              (value as (...v: unknown[]) => unknown).apply(object, values),
            )
            if (port === 'runs') note(call.verb, values[0] as Lease, answer)
            await awake
            if (!alive) return dead
            if (port !== 'clock') await interference.after?.(call)
            if (!alive) return dead
            const host = port === 'remote' && verb === 'connect'
            return host ? through('host', answer as object, (values[0] as { name: string }).name) : answer
          }
        },
      })
    }

    /** A call to a machine holds it from its first moment to its last. */
    async function held<T>(machine: string | undefined, call: () => T): Promise<Awaited<T>> {
      const touch = () => machine && alive && monitor.touched(name, machine, clock.elapsed, awakeSince)
      touch()
      try {
        return await call()
      } finally {
        await awake
        touch()
      }
    }

    /** As a computer does that is suspended: calls wait, answers and timers are noticed when it wakes. */
    function pause(milliseconds: number): Promise<void> {
      awake = clock.sleep(milliseconds).then(() => {
        awakeSince = clock.elapsed
      })
      return awake
    }

    function note(verb: string, lease: Lease, answer: unknown): void {
      if (verb === 'acquire') {
        const held = (answer as { lease: Lease } | undefined)?.lease
        if (held) monitor.acquired(held, clock.elapsed)
      } else if (['change', 'addAttempt', 'changeAttempt', 'restart', 'renew'].includes(verb)) {
        monitor.wrote(lease)
      }
    }

    const callable = <T extends (...values: never[]) => Promise<unknown>>(port: string, run: T): T =>
      through(port, { run }).run as unknown as T
    const ports = Object.fromEntries(
      Object.entries(shared).map(([port, target]) => [
        port,
        typeof target === 'function' ? callable(port, target) : through(port, target),
      ]),
    ) as unknown as Ports

    const loop: ClaimLoop = startClaimLoop({
      ports,
      settings: { ...defaultSettings, ...options.settings, worker: name },
      limits: { running: maxRunning, runningPerOwner: maxRunning },
      concurrency,
      pollMs: 1000,
      onEvent: (event) => {
        const busy = new Set(
          machines
            .made()
            .flatMap(({ running, order }) =>
              running && !isDelivered(order.trainingId) ? [order.trainingId] : [],
            ),
        )
        mostRunning = Math.max(mostRunning, trainings.slots().length, busy.size)
        if (event.kind === 'phase' && event.data?.phase === 'trained') trained.add(event.trainingId)
        events.push(event)
      },
      onError: (error, trainingId) => errors.push({ error, trainingId }),
      onFruitless: (trainingId) => fruitless.push(trainingId),
    })
    return {
      name,
      loop,
      calls: () => calls,
      kill() {
        alive = false
      },
      isAlive: () => alive,
      pause,
    }
  }

  /** Another deployment on the same database, in the same cloud account: it claims jobs of development only. */
  function neighbour() {
    const identity = 'another-deployment'
    const others = runs.as(identity)
    const ports: Ports = {
      ...shared,
      runs: others,
      trainings: trainings.as({ now, environment: 'development', isHeld: others.isHeld }),
      alerts: memoryAlerts(now),
      machines: machines.as(identity),
    }
    return {
      startWorker: (name: string) =>
        startClaimLoop({
          ports,
          settings: { ...defaultSettings, ...options.settings, worker: name },
          limits: { running: maxRunning, runningPerOwner: maxRunning },
          concurrency,
          pollMs: 1000,
          onEvent: () => {},
          onError: () => {},
        }),
      clearUp: async () => watchLeaks({ ...ports, worker: 'its reaper' }),
      runs: () => others.recent(100),
    }
  }

  return {
    ...shared,
    neighbour,
    clock,
    runs,
    trainings,
    datasets,
    ledger,
    models,
    alerts,
    machines,
    store,
    events,
    errors,
    /** Ids of jobs that were looked at in vain, each time. */
    fruitless,
    inside,
    startWorker,
    maxRunning,
    capacityWaitMs: options.settings?.capacityWaitMs ?? defaultSettings.capacityWaitMs,
    mostRunning: () => mostRunning,
    /** The first step of each training that was begun on the machines of that name, in order. */
    firstSteps(name: string): readonly number[] {
      const instances = machines.made().filter((each) => each.name === name)
      return instances
        .flatMap(({ instanceId }) => [...(insides.get(instanceId)?.trainers.values() ?? [])])
        .flatMap(({ lines }) => {
          const steps = lines.map(parseTrainerLine).filter((line) => line?.type === 'step')
          return steps.slice(0, 1).map(({ step }) => step)
        })
    },
    /** What workers did that they had no lease for. */
    leaseFaults: () => monitor.broken,
    /** Its document was given a status from outside, or deleted. */
    isTouched: trainings.isTouched,
    /** What every worker does from time to time. */
    async clearUp() {
      await watchLeaks({ ...shared, worker: 'reaper' })
      await sweepScratch(shared)
    },
    /** Puts a base model into the store. */
    async install(weights = 'weights') {
      const body = Buffer.from(weights)
      const files = [
        {
          path: 'unet/model.safetensors',
          size: body.length,
          sha256: createHash('sha256').update(body).digest('hex'),
        },
      ]
      await store.write(
        { bucket: 'bases', key: 'tiny/unet/model.safetensors' },
        body,
        'application/octet-stream',
      )
      const list = { name: 'tiny', family: 'SDXL', licence: 'Apache-2.0', files, sha256: sumOf(files) }
      await store.write({ bucket: 'bases', key: 'tiny/base.json' }, JSON.stringify(list), 'application/json')
    },
  }
}
