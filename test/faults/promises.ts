/** What must be true when everything has ended, however it went. Each broken promise is a sentence. */
import { spokenFor } from '../../src/ledger/budget.ts'
import { endings } from '../../src/pipeline/endings.ts'
import { type Attempt, launched } from '../../src/trainings/runs.ts'
import type { TimelineEvent } from '../../src/trainings/timeline.ts'
import { refundRange } from './expected-refund.ts'
import type { World } from './world.ts'

/** `cutCheckpoints`: ids of those whose checkpoints were spoilt from outside: they may begin anew. */
export async function brokenPromises(
  world: World,
  trainingIds: readonly string[],
  cutCheckpoints: ReadonlySet<string> = new Set(),
): Promise<string[]> {
  const broken: string[] = []
  const must = (kept: boolean, sentence: string) => {
    if (!kept) broken.push(sentence)
  }
  let spent = 0

  for (const id of trainingIds) {
    const document = world.trainings.document(id)
    const run = await world.runs.read(id)
    if (document?.status !== 'RUNNING' && document?.status !== 'QUEUED' && !run) continue // ended before it was claimed
    const ending = run?.outcome?.ending
    must(run?.endedAt !== undefined, `${id}: its run has not ended`)
    if (!run || !ending) continue

    if (ending === 'no-capacity') {
      const held = (await world.timeline.read(id)).find(
        ({ kind, data }) => kind === 'held' && data?.reason === ending,
      )
      const waitedMs = Number(run.outcome?.decidedAt) - Number(held?.at)
      must(
        waitedMs >= world.capacityWaitMs,
        `${id}: given up after ${waitedMs} ms, ${world.capacityWaitMs} was the time to wait`,
      )
    }

    const touched = world.isTouched(id)
    must(touched || document?.status === endings[ending].status, `${id}: ${ending}, but ${document?.status}`)
    const failedByHand = touched && endings[ending].status !== 'FAILED' // by people, after its end: they gave no reason
    if (document?.status === 'FAILED' && !failedByHand)
      must(Boolean(document.failureReason), `${id}: failed without a reason`)

    const movements = await world.ledger.movements(id)
    const keys = movements.map(({ key }) => key)
    must(new Set(keys).size === keys.length, `${id}: a movement was made twice: ${keys.join(', ')}`)
    const sum = (prefix: string) =>
      movements.filter(({ key }) => key.startsWith(prefix)).reduce((total, { points }) => total + points, 0)
    const of = (kind: string, number: number) =>
      movements.find(({ key }) => key === `${kind}:${id}${number === 1 ? '' : `:${number}`}`)?.points ?? 0
    const charged = -of('charge', run.number)
    must(charged === 0 || charged === 1000, `${id}: ${charged} points were charged for a price of 1000`)
    const cost = costOf(run.attempts)
    const [least, most] = refundRange(ending, {
      charged,
      steps: run.lastStep ?? 0,
      planned: run.plan?.steps ?? 0,
      costPoints: cost * 10_000,
    })
    const back = of('refund', run.number)
    must(
      least <= back && back <= most,
      `${id}: ${ending}: ${back} of ${charged} points came back, not ${least} to ${most}`,
    )
    for (const { number, outcome } of run.earlier ?? []) {
      must(
        !outcome?.ending.startsWith('trained'),
        `${id}: run ${number} was trained, and another came after it`,
      )
      const [paid, got] = [-of('charge', number), of('refund', number)]
      must(
        got === (outcome?.refundPoints ?? 0) || paid === 0,
        `${id}: run ${number}: ${got} of ${paid} came back`,
      )
    }
    must(
      movements.filter(({ key }) => key.startsWith('charge:')).length <= run.number,
      `${id}: more charges than runs`,
    )
    must(!ending.startsWith('trained') || charged > 0, `${id}: ${ending}, and not charged`)

    const made = world.models.all().filter(({ trainingId }) => trainingId === id)
    must(made.length <= 1, `${id}: ${made.length} models`)
    if (ending.startsWith('trained')) {
      must(made.length === 1, `${id}: ${ending}, and ${made.length} models`)
      must(sum('credit:') === 150, `${id}: credits of ${sum('credit:')} points`)
    }

    spent += cost + costOf(run.earlierAttempts)
    must(cost <= (run.capUsd ?? 0) + 1e-5, `${id}: machines cost $${cost}, its cap is $${run.capUsd}`)
    must(
      [...run.earlierAttempts, ...run.attempts].every(({ tornDownAt }) => tornDownAt),
      `${id}: an attempt was not torn down`,
    )
    for (const { name, failure } of [...run.earlierAttempts, ...run.attempts]) {
      const wasMade = world.machines.made().some((each) => each.name === name)
      must(!(wasMade && failure?.detail.endsWith(' is absent')), `${name} was called lost while it ran`)
    }
    const timeline = await world.timeline.read(id)
    must(
      timeline.every(({ number }, index) => number === index + 1),
      `${id}: its timeline has gaps`,
    )
    for (const phase of Object.keys(run.phaseTimes)) {
      const told = timeline.filter(({ kind, data }) => kind === 'phase' && data?.phase === phase)
      must(told.length > 0, `${id}: its timeline doesn't tell that it was ${phase}`)
    }
    broken.push(...untold([...run.earlierAttempts, ...run.attempts], timeline))
    if (!cutCheckpoints.has(id)) broken.push(...lostSteps(world, run.attempts, timeline))
    // What the reaper removes later is told after it.
    const last = timeline.findLast(({ kind, data }) => kind !== 'attempt' || data?.offer)
    must(last?.kind === 'outcome', `${id}: its timeline ends with ${last?.kind}`)
  }

  must(
    world.machines.left().length === 0,
    `left behind: ${world.machines.left().map(({ kind, name }) => `${kind} ${name}`)}`,
  )
  for (const { key } of await world.store.list('work', 'jobs/')) {
    const ending = (await world.runs.read(key.split('/')[1] ?? ''))?.outcome?.ending
    const kept = ending && endings[ending].keepsCheckpoint && key.includes('/checkpoint')
    must(kept === true, `a scratch file is left in the work bucket: ${key}`)
  }
  must(world.trainings.slots().length === 0, `slots are still taken: ${world.trainings.slots()}`)
  broken.push(...world.leaseFaults())
  broken.push(...world.machines.trespasses())
  must(
    world.mostRunning() <= world.maxRunning,
    `${world.mostRunning()} jobs ran at once, ${world.maxRunning} may`,
  )
  const { monthUsd } = spokenFor(await world.budget.spending(world.clock.now()))
  must(Math.abs(monthUsd - spent) < 1e-4, `the budget says $${monthUsd}, the machines cost $${spent}`)
  return broken
}

/** The timeline names every machine and how it failed; of one that was refused, only that it is gone. */
function untold(attempts: readonly Attempt[], timeline: readonly TimelineEvent[]): readonly string[] {
  return attempts.filter(launched).flatMap(({ name, number, failure, tornDownAt }) => {
    const ofIt = timeline.filter(({ kind, data }) => kind === 'attempt' && data?.number === number)
    const words = `attempt ${number} failed: ${failure?.detail}`
    const missing = {
      'was ordered': failure?.reason !== 'no-capacity' && !ofIt.some(({ data }) => data?.offer),
      failed:
        failure &&
        failure.reason !== 'no-capacity' &&
        !timeline.some(({ kind, message }) => kind === 'failure' && message === words),
      'is gone': tornDownAt && !ofIt.some(({ data }) => !data?.offer),
    }
    return Object.entries(missing).flatMap(([what, isMissing]) =>
      isMissing ? [`its timeline does not tell that ${name} ${what}`] : [],
    )
  })
}

/** A checkpoint that was said to be safe is gone on with, by every machine that is ordered after that. */
function lostSteps(
  world: World,
  attempts: readonly Attempt[],
  timeline: readonly TimelineEvent[],
): readonly string[] {
  return attempts.flatMap(({ name, number }) => {
    const began = timeline.findIndex(
      ({ kind, data }) => kind === 'attempt' && data?.number === number && data?.offer,
    )
    if (began < 0) return [] // no machine came of it: untold() looks
    const ofThisRun = timeline.slice(0, began).findLastIndex(({ kind }) => kind === 'outcome') + 1
    const safe = timeline
      .slice(ofThisRun, began)
      .map(({ kind, data }) => (kind === 'checkpoint' ? Number(data?.step) : 0))
    const least = Math.max(0, ...safe) + 1
    const lost = world.firstSteps(name).filter((step) => step < least)
    return lost.map((step) => `${name} began with step ${step}, and step ${least - 1} was safe`)
  })
}

function costOf(attempts: readonly Attempt[]): number {
  return attempts.reduce((total, { costUsd }) => total + (costUsd ?? Infinity), 0)
}
