/**
 * Crash everywhere, for real: a worker runs a job to its end and reports its calls of the world; then, once for each
 * chosen call, a worker kills itself before it, after it or (where it takes a while) in the middle of it, and a plain
 * one takes over. `FAULTS_CRASHES` says how many points are chosen, or `all`; `npm run faults -- --crash --real`
 * takes them all. Some at once: most of the time goes by in waiting for a lease to end.
 */
import PQueue from 'p-queue'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Deployment, startDeployment } from './deployment.ts'
import { measured } from './figures.ts'
import { verdictOn } from './real-promises.ts'
import type { Event } from './room.ts'

const chosen = process.env.FAULTS_CRASHES ?? '2'
const atOnce = 4
const minute = 60_000
const program = 'test/faults/watched-worker.ts'
let deployment: Deployment

beforeAll(async () => {
  deployment = await startDeployment({ BELLOWS_CONCURRENCY: '1' })
})

afterAll(() => deployment?.stop(), 2 * minute)

type Point = {
  readonly side: 'before' | 'after' | 'during'
  readonly call: string
  readonly milliseconds: number
}

const overrides = { steps: 150 }
const ended = (event: Event) => event.event === 'released' && event.data?.ended === true

test('a real worker may die before, in or after any call: another goes on, and every promise is kept', {
  timeout: chosen === 'all' ? 180 * minute : 3 * minute + Number(chosen) * minute,
}, async ({ task }) => {
  const points = await findPoints()
  const sample = chosen === 'all' ? points : sampleOf(points, Number(chosen))
  const began = Date.now()
  const queue = new PQueue({ concurrency: atOnce })
  const results = await Promise.all(sample.map((point, index) => queue.add(() => dieAt(point, index))))
  const seconds = (Date.now() - began) / 1000

  const died = results.filter(({ reached }) => reached)
  const broken = results.flatMap(({ broken }) => broken)
  const resumeSeconds = Math.max(0, ...died.map((each) => each.resumeSeconds ?? 0))
  const sum = (count: (result: Result) => number) => results.reduce((total, each) => total + count(each), 0)
  measured(task, {
    crashPoints: died.length,
    crashesSurvived: died.filter((each) => each.broken.length === 0).length,
    leaks: sum(({ leaks }) => leaks),
    doubleCharges: sum(({ doubleCharges }) => doubleCharges),
    resumeSeconds,
  })
  console.log(
    `${points.length} points found, ${sample.length} tried, ${died.length} reached, in ${seconds.toFixed(0)} s ` +
      `(${(seconds / sample.length).toFixed(1)} s a point, ${atOnce} at once); ` +
      `worst time to resume: ${resumeSeconds.toFixed(1)} s`,
  )
  expect(broken).toEqual([])
  expect(died.length).toBeGreaterThan(sample.length * 0.8)
})

/** Those of an undisturbed run. */
async function findPoints(): Promise<readonly Point[]> {
  const worker = deployment.startWorker('undisturbed', [program])
  const id = await deployment.insertJob(overrides)
  await worker.next(ended)
  await deployment.stopWorkers()
  const { broken } = await verdictOn(deployment, [id])
  expect(broken).toEqual([])
  const calls = deployment.events.flatMap(({ event, data }) => (event === 'call' ? [data] : []))
  return calls.flatMap((data) => {
    const call = String(data?.call)
    const milliseconds = Number(data?.milliseconds)
    const during = { side: 'during', call, milliseconds: Math.round(milliseconds / 2) } as const
    return [
      { side: 'before', call, milliseconds: 0 } as const,
      ...(milliseconds > 300 ? [during] : []),
      { side: 'after', call, milliseconds: 0 } as const,
    ]
  })
}

type Result = {
  readonly broken: readonly string[]
  readonly leaks: number
  readonly doubleCharges: number
  /** Whether the worker came to this point. */
  readonly reached: boolean
  /** Undefined where nothing was left to take up. */
  readonly resumeSeconds: number | undefined
}

async function dieAt({ side, call, milliseconds }: Point, index: number): Promise<Result> {
  const room = await deployment.room(`c${index}`)
  const id = await room.insertJob(overrides)
  const done = room.next(ended)
  const first = room.startWorker('first', [program, side, call, String(milliseconds)])
  const killedAt = await Promise.race([first.failed.catch(() => Date.now()), done.then(() => undefined)])
  const taken = room.next(({ worker, event }) => worker === 'second' && event === 'phase')
  const over = (await room.clients.ports.runs.read(id))?.endedAt !== undefined // before the worker could say so
  if (killedAt && !over) room.startWorker('second')
  const heard = killedAt && !over ? await Promise.race([taken, done]) : undefined
  if (!over) await done
  await room.stopWorkers()
  const { broken, figures } = await verdictOn(room, [id])
  const status = (await room.document(id))?.status
  const where = `${side} ${call}`
  const sentences = [...broken, ...(status === 'COMPLETED' ? [] : [`${id}: ${status}`])]
  const resumeSeconds = heard && killedAt && (heard.heardAt - killedAt) / 1000
  const told = resumeSeconds === undefined ? 'nothing was left to do' : `${resumeSeconds.toFixed(1)} s`
  console.log(`${where}: ${killedAt ? told : 'not reached'}`)
  await room.close()
  return {
    broken: sentences.map((sentence) => `${where}: ${sentence}`),
    leaks: figures.leaks ?? 0,
    doubleCharges: figures.doubleCharges ?? 0,
    reached: killedAt !== undefined,
    resumeSeconds,
  }
}

/** Half of it in the middle of calls: there are few of those, and the engine is at work in most. */
function sampleOf(points: readonly Point[], count: number): readonly Point[] {
  const [inside, around] = [true, false].map((within) =>
    points.filter(({ side }) => (side === 'during') === within),
  )
  return [...everyNth(inside ?? [], count / 2), ...everyNth(around ?? [], count / 2)]
}

function everyNth<T>(all: readonly T[], count: number): readonly T[] {
  const step = Math.max(1, all.length / count)
  return all.filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step))
}
