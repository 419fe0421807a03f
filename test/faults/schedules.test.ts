/**
 * Random schedules: several workers, jobs, cancels, kills, capacity, lost machines, spot notices, stores that fail or are
 * away for a while, documents that people edit, delete and queue again, calls that are repeated, the workers and the reaper of
 * another deployment on the same database and account, and those of a rehearsal that trains copies of the jobs in the
 * account, in an order that only the seed decides. `FAULTS_SCHEDULES` and `FAULTS_SEED` choose how many, and which
 * first; a failing one is printed with the seed that replays it.
 */
import { ObjectId } from 'mongodb'
import { afterEach, expect, test } from 'vitest'
import type { Offer } from '../../src/cloud/machines.ts'
import { quotaOf } from '../../src/cloud/quotas.ts'
import { Failure } from '../../src/failure.ts'
import { countsOf, measured } from './figures.ts'
import { allEnded, insertJob } from './jobs.ts'
import { brokenPromises } from './promises.ts'
import { seededRandom } from './random.ts'
import { offers } from './settings.ts'
import { type Call, createWorld, type World, type WorldOptions } from './world.ts'

const minute = 60_000
const hour = 60 * minute
const schedules = Number(process.env.FAULTS_SCHEDULES ?? 40)
const firstSeed = Number(process.env.FAULTS_SEED ?? 1)

const { random: unseeded } = Math
afterEach(() => {
  Math.random = unseeded
})

type Tally = Record<string, number>

async function runSchedule(seed: number, tally: Tally): Promise<string[]> {
  const random = seededRandom(seed)
  Math.random = seededRandom(seed).next // the claim loop's jitter
  const count = (fault: string) => {
    tally[fault] = (tally[fault] ?? 0) + 1
  }
  let calm = false
  let over = false
  let storeAwayUntil = 0
  let settingBrokenUntil = 0
  const zoneWithout = random.chance(0.3) ? random.pick(offers as [Offer]).zone : undefined
  const isSlow = random.chance(0.2) // so that a worker is replaced in the middle of a training
  const options: WorldOptions = {
    turnMs: () => (isSlow ? 5000 + random.below(5000) : 20 + random.below(400)),
    settings: { gpu: random.chance(0.5) },
    maxRunning: 1 + random.below(3),
    moment({ verb, point, name, offer }) {
      if (calm) return
      if (verb === 'release' && point !== 'asked' && random.chance(0.1)) {
        count('slow to go')
        throw new Error(`${name} is not gone: security-group sg-1 is left`)
      }
      if (verb === 'order' && point === 'key-pair' && offer?.zone === zoneWithout) {
        count('zone without the type')
        throw new Failure('no-capacity', `${offer?.type} is not sold in ${zoneWithout}`)
      }
      if (verb === 'order' && point === 'key-pair' && world.clock.elapsed < settingBrokenUntil) {
        count('order refused for a setting')
        throw new Failure('misconfigured', 'the right ec2:RunInstances is missing')
      }
      if (verb !== 'order' || !random.chance(0.15)) return
      count('no capacity')
      if (point === 'key-pair' || point === 'instance')
        throw new Failure('no-capacity', `${offer?.type} is out`)
    },
  }
  const world: World = createWorld(options)
  await world.install()

  function startWorker(name: string, of = world): void {
    const worker = of.startWorker(name, {
      async before(call: Call) {
        await world.clock.sleep(random.below(60))
        if (calm) return
        if (random.chance(0.002)) {
          count('worker killed')
          worker.kill()
          startWorker(`${name}'`, of)
        } else if (random.chance(0.004)) {
          count('worker paused past its lease')
          await worker.pause(45_000)
        } else if (call.port === 'store' && (random.chance(0.006) || world.clock.elapsed < storeAwayUntil)) {
          count('store failed')
          throw new Failure('store-failed', 'SlowDown')
        }
      },
      async after(call: Call) {
        if (call.port === 'ledger' && call.verb === 'charge' && random.chance(0.3)) {
          count('charge repeated')
          const [what, account, points] = call.values as Parameters<World['ledger']['charge']>
          await of.ledger.charge(what, account, points)
        }
        if (calm || !random.chance(0.003) || call.port === 'clock') return
        count('answer lost')
        throw new Error(`connection lost; ${call.port}.${call.verb} was applied`)
      },
    })
  }

  const ids: string[] = []
  for (let job = 1 + random.below(4); job > 0; job--)
    ids.push(await insertJob(world, { environment: 'production' }))
  for (let worker = 1 + random.below(2); worker > 0; worker--) startWorker(`worker-${worker}`)

  const strangers: string[] = []
  const cut = new Set<string>()
  const neighbour = world.neighbour()
  neighbour.startWorker('of another deployment')
  const rehearsal = random.chance(0.4) ? createWorld({ ...options, beside: world }) : undefined
  const copies = rehearsal ? ids.slice(random.below(ids.length)) : []
  if (rehearsal) {
    count('rehearsal in the account')
    await rehearsal.install()
    for (const id of copies) await insertJob(rehearsal, { _id: new ObjectId(id), environment: 'production' })
    startWorker('worker of the rehearsal', rehearsal)
  }
  const clearUp = async () => {
    for (const each of [world, neighbour, rehearsal]) await each?.clearUp()
  }

  function edit(id: string): void {
    if (!world.runs.isUnfinished(id)) return
    const foreign: Readonly<Record<string, unknown>> = {
      ownerAccountId: 'me',
      datasetId: null,
      offeringId: 7,
      baseModel: {},
      modelName: 3,
      steps: 'x',
    }
    const field = random.pick([
      'ownerAccountId',
      'datasetId',
      'offeringId',
      'baseModel',
      'modelName',
      'steps',
    ])
    world.trainings.set(id, { [field]: foreign[field] })
  }

  async function droughtFor(lengthMs: number): Promise<void> {
    world.machines.drought('spot', true)
    await world.clock.sleep(lengthMs)
    world.machines.drought('spot', false)
  }

  async function quotaOfNone(offer: Offer, lengthMs: number): Promise<void> {
    world.machines.quota(quotaOf(offer), 0)
    await world.clock.sleep(lengthMs)
    world.machines.quota(quotaOf(offer), undefined)
  }

  async function hidden(name: string, what: 'tags' | 'instance', lengthMs: number): Promise<void> {
    world.machines.hide(name, what)
    await world.clock.sleep(lengthMs)
    world.machines.hide(name, undefined)
  }

  /** EC2 shows everywhere what it made a minute ago. */
  const isNew = (machine: { readonly launchedAt: Date }) =>
    world.clock.now().getTime() - machine.launchedAt.getTime() < minute

  async function heldOn(name: string, lengthMs: number): Promise<void> {
    world.machines.holdOn(name, true)
    await world.clock.sleep(lengthMs)
    world.machines.holdOn(name, false)
  }

  void reapers()
  async function reapers(): Promise<void> {
    while (!over) {
      await world.clock.sleep((2 + random.below(4)) * minute)
      await clearUp()
    }
  }

  void befall()
  /** What happens to machines and jobs from outside, for the first ten minutes. */
  async function befall(): Promise<void> {
    while (world.clock.elapsed < 600_000) {
      await world.clock.sleep(1000 + random.below(20_000))
      const happening = random.pick([
        'cancelled',
        'machine lost',
        'spot notice',
        'connection dropped',
        'out of memory',
        'store away',
        'document edited',
        'document ended',
        'document deleted',
        'queued again',
        'stranger',
        'GPU unreadable',
        'watch fails',
        'checkpoint cut',
        'spot drought',
        'setting broken',
        'quota of 0',
        'group held',
        'tags not shown',
        'new machine not shown',
        'nothing',
      ])
      const edited = random.pick([ids[0] ?? '', ...ids])
      const machine = random.pick([undefined, ...world.machines.made().filter(({ running }) => running)])
      const inside = machine && world.inside(machine.name)
      if (happening === 'cancelled') {
        const id = ids[random.below(ids.length)] ?? ''
        const status = world.trainings.document(id)?.status
        if (random.chance(0.7) || (status !== 'QUEUED' && status !== 'RUNNING')) continue
        world.trainings.set(id, { status: 'CANCELLED' })
      } else if (happening === 'store away') storeAwayUntil = world.clock.elapsed + 40_000
      else if (happening === 'document edited') edit(edited)
      else if (happening === 'document ended') {
        if (random.chance(0.7) || world.trainings.document(edited)?.status !== 'RUNNING') continue
        world.trainings.set(edited, { status: random.pick(['FAILED', 'COMPLETED', 'PAUSED']) })
      } else if (happening === 'document deleted') {
        if (random.chance(0.85)) continue
        world.trainings.remove(edited)
      } else if (happening === 'queued again') {
        const status = world.trainings.document(edited)?.status
        if (!['FAILED', 'CANCELLED', 'COMPLETED'].includes(String(status))) continue
        world.trainings.set(edited, { status: 'QUEUED' })
      } else if (happening === 'stranger') {
        strangers.push(await insertJob(world, random.pick([{ status: 'RUNNING' }, { status: 'DONE' }])))
      } else if (happening === 'checkpoint cut') {
        const object = (await world.store.list('work', `jobs/${edited}/checkpoint-`)).at(-1)
        if (!object) continue
        cut.add(edited)
        await world.store.write({ bucket: 'work', key: object.key }, 'cut', 'application/x-tar')
      } else if (happening === 'setting broken')
        settingBrokenUntil = world.clock.elapsed + random.below(60) * minute
      else if (happening === 'spot drought') void droughtFor(random.below(90) * minute)
      else if (happening === 'quota of 0')
        void quotaOfNone(random.pick(offers as [Offer]), random.below(90) * minute)
      else if (!machine || !inside || happening === 'nothing') continue
      else if (happening === 'group held') void heldOn(machine.name, random.below(15) * minute)
      else if (happening === 'tags not shown') void hidden(machine.name, 'tags', random.below(3) * minute)
      else if (happening === 'new machine not shown') {
        if (!isNew(machine)) continue
        void hidden(machine.name, 'instance', random.below(minute))
      } else if (happening === 'machine lost') {
        inside.lose()
        world.machines.lose(machine.name, 'Server.SpotInstanceTermination')
      } else if (happening === 'spot notice')
        inside.notice({ kind: 'spot', action: 'terminate', at: world.clock.now() })
      else if (happening === 'connection dropped') inside.dropConnections()
      else if (happening === 'GPU unreadable') inside.gpuLoad = 'unreadable'
      else if (happening === 'watch fails') {
        inside.failNext('watch', new Error('no channel'))
        inside.dropConnections()
      } else inside.killForMemory(machine.name)
      count(happening)
    }
    calm = true
  }

  try {
    const ended = () => allEnded(world, ids) && (!rehearsal || allEnded(rehearsal, copies))
    await world.clock.runUntil(() => calm && ended(), 48 * hour)
  } catch (error) {
    const states = ids.map((id) => `${id}: ${world.trainings.document(id)?.status}`)
    return [
      `${(error as Error).message} (${states}); ${world.errors.map(({ error: each }) => String(each)).slice(-3)}`,
    ]
  }
  over = true
  const old = world.clock.elapsed + 15 * minute // enough for the reaper
  await world.clock.runUntil(() => world.clock.elapsed >= old, hour)
  await clearUp()
  count('jobs')
  for (const id of ids)
    count(`ended ${(await world.runs.read(id))?.outcome?.ending ?? 'before it was claimed'}`)
  const broken = await brokenPromises(world, ids, cut)
  for (const sentence of rehearsal ? await brokenPromises(rehearsal, copies) : [])
    broken.push(`of the rehearsal: ${sentence}`)
  for (const { id } of await neighbour.runs()) broken.push(`another deployment took up ${id}`)
  for (const id of strangers)
    if (await world.runs.read(id)) broken.push(`${id} was never claimed here, and was taken up`)
  return broken
}

test(`${schedules} random schedules keep every promise`, async ({ task }) => {
  const tally: Tally = {}
  const broken: string[] = []
  for (let seed = firstSeed; seed < firstSeed + schedules && broken.length < 5; seed++) {
    for (const sentence of await runSchedule(seed, tally))
      broken.push(`FAULTS_SEED=${seed} FAULTS_SCHEDULES=1: ${sentence}`)
  }
  console.log(tally)
  const injected = Object.entries(tally).filter(([name]) => name !== 'jobs' && !name.startsWith('ended'))
  const faults = injected.reduce((sum, [, times]) => sum + times, 0)
  measured(task, { schedules, faults, ...countsOf(broken) })
  expect(broken).toEqual([])
}, 1_800_000)
