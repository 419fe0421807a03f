/**
 * A real worker that tells of its calls of the world, or dies at one of them by `kill -9` of itself. Calls are known
 * by port, verb and how often it was made before, such as `runs.change 3`: one that is added adds its points, and
 * what is only asked again and again (the clock, the lease, the queue) makes none.
 *
 *     watched-worker.ts                                     reports each call with the time that it took
 *     watched-worker.ts before|after|during CALL [MS]       dies there; `during`: so long after its beginning
 */
import { type Clients, connectClients } from '../../src/clients.ts'
import { type Config, readConfig } from '../../src/config.ts'
import { createLogger } from '../../src/log.ts'
import { startWorker } from '../../src/worker.ts'

const [side, place, milliseconds] = process.argv.slice(2)
const config = readConfig(process.env)
const log = createLogger(config.BELLOWS_LOG_LEVEL, config.BELLOWS_WORKER)
await startWorker(config, log, connectWatched)

async function connectWatched(config: Config): Promise<Clients> {
  const clients = await connectClients(config)
  const ports = Object.fromEntries(
    Object.entries(clients.ports).map(([name, port]) => [
      name,
      typeof port === 'function' ? watchedFunction(name, port as Verb) : watched(name, port),
    ]),
  )
  return { ...clients, ports: ports as Clients['ports'] }
}

type Verb = (...values: unknown[]) => unknown

function watched<T extends object>(port: string, target: T): T {
  return new Proxy(target, {
    get(object, verb, receiver) {
      const value = Reflect.get(object, verb, receiver)
      if (typeof value !== 'function' || !isWatched(port, String(verb))) return value
      return watchedFunction(`${port}.${String(verb)}`, value.bind(object) as Verb)
    },
  })
}

/** Not those that touch nothing, and not those that a worker asks for ever. */
function isWatched(port: string, verb: string): boolean {
  const idle = [
    'runs.renew',
    'runs.unfinished',
    'runs.recent',
    'trainings.orphans',
    'trainings.read',
    'budget.spending',
  ]
  const isPure = ['publicUrl', 'presignRead', 'close'].includes(verb)
  return !isPure && !['clock', 'alerts', 'workers'].includes(port) && !idle.includes(`${port}.${verb}`)
}

const made = new Map<string, number>()

function watchedFunction(name: string, run: Verb): Verb {
  return async (...values) => {
    const number = (made.get(name) ?? 0) + 1
    made.set(name, number)
    const call = `${name} ${number}`
    dieIf('before', call)
    if (side === 'during' && place === call) setTimeout(() => dieIf('during', call), Number(milliseconds))
    const began = performance.now()
    const answer = await run(...values)
    dieIf('after', call)
    log.info({ event: 'call', data: { call, milliseconds: Math.round(performance.now() - began) } })
    return name === 'remote.connect' ? watched('host', answer as object) : answer
  }
}

function dieIf(now: string, call: string): void {
  if (side === now && place === call) process.kill(process.pid, 'SIGKILL')
}
