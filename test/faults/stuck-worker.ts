/** A worker in a process of its own whose teardowns and connections never end; it says when a teardown has begun. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clients } from '../../src/clients.ts'
import { readConfig } from '../../src/config.ts'
import { Failure } from '../../src/failure.ts'
import { createLogger } from '../../src/log.ts'
import { startWorker, stopBySignal } from '../../src/worker.ts'
import { memoryWorkers } from '../fakes/memory-workers.ts'
import { insertJob } from './jobs.ts'
import { settings } from './settings.ts'
import { createWorld } from './world.ts'

const config = readConfig(process.env)
const log = createLogger('info', 'stuck')
const never = () => new Promise<never>(() => {})

const world = createWorld()
await world.install()
const clock: Clients['ports']['clock'] = {
  now: () => new Date(),
  sleep: (milliseconds, signal) => sleep(milliseconds, undefined, { signal }),
  synchronise: async () => {},
}
const ports = {
  ...world,
  clock,
  workers: memoryWorkers(clock.now),
  remote: {
    connect: () => Promise.reject(new Failure('machine-broken', 'there is no GPU')),
  },
  machines: {
    ...world.machines,
    release: () => {
      log.info('tearing down')
      return never()
    },
  },
}
const clients = { ports, comfyUiFolder: undefined, close: never } as unknown as Clients
const starting = startWorker(
  config,
  log,
  async () => clients,
  async () => [],
)
stopBySignal(starting, log)
await starting
await insertJob(world, { offeringId: Object.keys(settings.offerings)[0] })
