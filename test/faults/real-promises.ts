/** What must be true on real parts when every job of a room has ended and its workers are gone, however it went. */
import { spokenFor } from '../../src/ledger/budget.ts'
import { endings } from '../../src/pipeline/endings.ts'
import type { Figures } from '../../tools/fault-figures.ts'
import { refundRange } from './expected-refund.ts'
import type { Room } from './room.ts'

export type Verdict = {
  /** Each broken promise is a sentence. */
  readonly broken: readonly string[]
  readonly figures: Pick<Figures, 'leaks' | 'doubleCharges'>
}

const credits = { 'credit:trainer': 100, 'credit:dataset-creator': 50 }

export async function verdictOn(room: Room, trainingIds: readonly string[]): Promise<Verdict> {
  const broken: string[] = []
  const must = (kept: boolean, sentence: string) => {
    if (!kept) broken.push(sentence)
  }
  const { runs, ledger, budget, timeline, clock } = room.clients.ports
  let doubleCharges = 0
  let spent = 0

  for (const id of trainingIds) {
    const run = await runs.read(id)
    const ending = run?.outcome?.ending
    must(run?.endedAt !== undefined, `${id}: its run has not ended`)
    if (!run || !ending) continue
    const status = (await room.document(id))?.status
    must(status === endings[ending].status, `${id}: ${ending}, but ${status}`)

    const movements = await ledger.movements(id)
    const kinds = movements.map(({ key }) => kindOf(key, id))
    const twice = new Set(kinds).size < kinds.length
    must(!twice, `${id}: a movement was made twice: ${kinds.join(', ')}`)
    if (twice) doubleCharges++
    const points = Object.fromEntries(movements.map(({ key, points }) => [kindOf(key, id), points]))
    const charged = -(points.charge ?? 0)
    const [least, most] = refundRange(ending, {
      charged,
      steps: run.lastStep ?? 0,
      planned: run.plan?.steps ?? 0,
      costPoints: run.attempts.reduce((sum, { costUsd }) => sum + (costUsd ?? 0), 0) * 10_000,
    })
    const refund = Math.min(most, Math.max(least, points.refund ?? 0))
    const wanted = {
      ...(charged > 0 && { charge: -charged }),
      ...(refund > 0 && { refund }),
      ...(ending === 'trained' && credits),
    }
    must(same(points, wanted), `${id}: ${ending}: ${shown(points)} in the ledger, not ${shown(wanted)}`)
    must(ending !== 'trained' || charged > 0, `${id}: trained, and not charged`)

    const models = await room.db
      .collection('loraModels')
      .find({ 'trainedFrom.trainingId': (await room.document(id))?._id })
      .toArray()
    must(models.length === (ending === 'trained' ? 1 : 0), `${id}: ${ending}, and ${models.length} models`)

    for (const { number, tornDownAt } of run.attempts)
      must(tornDownAt !== undefined, `${id}: attempt ${number} was not torn down`)
    const cost = run.attempts.reduce((sum, { costUsd }) => sum + (costUsd ?? Infinity), 0)
    must(cost <= (run.capUsd ?? 0) + 1e-9, `${id}: its machines cost $${cost}, its cap is $${run.capUsd}`)
    spent += cost

    const told = await timeline.read(id)
    must(
      told.every(({ number }, index) => number === index + 1),
      `${id}: its timeline has gaps`,
    )
    must(
      told.some(({ kind }) => kind === 'outcome'),
      `${id}: its timeline has no outcome`,
    )
  }

  const { monthUsd } = spokenFor(await budget.spending(clock.now()))
  must(Math.abs(monthUsd - spent) < 1e-4, `the budget says $${monthUsd}, the machines cost $${spent}`)
  const [limits] = await room.db.collection('trainingLimits').find().toArray()
  must(limits?.places.length === 0, `slots are still taken: ${JSON.stringify(limits?.places)}`)
  const wrong = await wrongBalances(room)
  broken.push(...wrong)
  const left = await room.left()
  must(left.length === 0, `left behind: ${left.join(', ')}`)
  return { broken, figures: { leaks: left.length, doubleCharges: doubleCharges + wrong.length } }
}

/** `charge:<id>` → `charge`, `credit:<id>:trainer` → `credit:trainer`. */
const kindOf = (key: string, id: string) =>
  key
    .split(':')
    .filter((part) => part !== id)
    .join(':')

/** An account holds what its movements come to. */
async function wrongBalances({ db, clients }: Room): Promise<readonly string[]> {
  const sums = await db
    .collection('pointsLedger')
    .aggregate([
      { $match: { state: 'settled' } },
      { $group: { _id: '$accountId', points: { $sum: '$points' } } },
    ])
    .toArray()
  const wrong: string[] = []
  for (const { _id, points } of sums) {
    const balance = await clients.ports.ledger.balance(String(_id))
    if (balance !== points)
      wrong.push(`account ${_id} holds ${balance} points, its movements come to ${points}`)
  }
  return wrong
}

const shown = (points: Readonly<Record<string, number>>) => JSON.stringify(points)

function same(one: Readonly<Record<string, number>>, other: Readonly<Record<string, number>>): boolean {
  const names = new Set([...Object.keys(one), ...Object.keys(other)])
  return [...names].every((name) => one[name] === other[name])
}
