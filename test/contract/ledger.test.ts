import { beforeEach, expect, test } from 'vitest'
import { createIndexes } from '../../src/ledger/indexes.ts'
import { type MongoLedger, mongoLedger } from '../../src/ledger/mongo-ledger.ts'
import { memoryLedger } from '../fakes/memory-ledger.ts'
import { describeBoth } from './worlds.ts'

const trainingId = 'a'.repeat(24)
const training = { trainingId, run: 1 }
const another = { trainingId: 'b'.repeat(24), run: 1 }
const owner = '0'.repeat(24)
const creator = '1'.repeat(24)

describeBoth('the ledger', (world) => {
  let ledger: MongoLedger

  beforeEach(async () => {
    if (world.name === 'memory') ledger = memoryLedger()
    else {
      await world.db().dropDatabase()
      await createIndexes(world.db())
      ledger = mongoLedger(world.db())
    }
  })

  test('an unknown account has no points', async () => {
    expect(await ledger.balance(owner)).toBe(0)
  })

  test('a charge takes the points once, and its replay returns the first movement', async () => {
    await ledger.topUp(owner, 1000, 'one')
    const first = await ledger.charge(training, owner, 300)
    const second = await ledger.charge(training, owner, 999)
    expect(second).toEqual(first)
    expect(first).toMatchObject({
      key: `charge:${trainingId}`,
      trainingId,
      accountId: owner,
      points: -300,
    })
    expect(await ledger.balance(owner)).toBe(700)
  })

  test('a charge that the balance does not cover moves nothing', async () => {
    await ledger.topUp(owner, 299, 'one')
    await expect(ledger.charge(training, owner, 300)).rejects.toMatchObject({ reason: 'cannot-pay' })
    expect(await ledger.balance(owner)).toBe(299)
    expect(await ledger.movements(trainingId)).toEqual([])
  })

  test('a refused charge succeeds once the points have come in', async () => {
    await expect(ledger.charge(training, owner, 300)).rejects.toThrow('costs 300 points')
    await ledger.topUp(owner, 300, 'one')
    await ledger.charge(training, owner, 300)
    expect(await ledger.balance(owner)).toBe(0)
  })

  test('a charge of the whole balance is covered', async () => {
    await ledger.topUp(owner, 300, 'one')
    await ledger.charge(training, owner, 300)
    expect(await ledger.balance(owner)).toBe(0)
  })

  test('a refund is never more than the charge, and happens once', async () => {
    await ledger.topUp(owner, 500, 'one')
    await ledger.charge(training, owner, 300)
    const first = await ledger.refund(training, 400)
    const second = await ledger.refund(training, 100)
    expect(first?.points).toBe(300)
    expect(second).toEqual(first)
    expect(await ledger.balance(owner)).toBe(500)
  })

  test('a refund goes to the account that was charged', async () => {
    await ledger.topUp(owner, 300, 'one')
    await ledger.charge(training, owner, 300)
    await ledger.charge(training, creator, 300)
    await ledger.refund(training, 300)
    expect([await ledger.balance(owner), await ledger.balance(creator)]).toEqual([300, 0])
  })

  test('a refund of nothing, or without a charge, is no movement', async () => {
    await ledger.topUp(owner, 300, 'one')
    expect(await ledger.refund(another, 100)).toBeUndefined()
    await ledger.charge(training, owner, 300)
    expect(await ledger.refund(training, 0)).toBeUndefined()
    expect(await ledger.movements(trainingId)).toHaveLength(1)
  })

  test('after a refund without a charge the training can no longer be charged', async () => {
    await ledger.topUp(owner, 300, 'one')
    await ledger.refund(training, 100)
    await expect(ledger.charge(training, owner, 300)).rejects.toThrow('its training has ended')
    expect(await ledger.balance(owner)).toBe(300)
  })

  test('each run of a training is charged and refunded by itself', async () => {
    const again = { trainingId, run: 2 }
    await ledger.topUp(owner, 1000, 'one')
    await ledger.charge(training, owner, 300)
    await ledger.refund(training, 300)
    const second = await ledger.charge(again, owner, 250)
    const back = await ledger.refund(again, 100)
    expect([second.key, back?.key]).toEqual([`charge:${trainingId}:2`, `refund:${trainingId}:2`])
    expect(await ledger.balance(owner)).toBe(850)
    await expect(ledger.refund(training, 300)).resolves.toMatchObject({ points: 300 })
    expect(await ledger.balance(owner)).toBe(850)
  })

  test('a closed run stays closed, and belongs to no account', async () => {
    await ledger.topUp(owner, 1000, 'one')
    await ledger.refund(training, 100)
    await ledger.refund(training, 100)
    await expect(ledger.charge(training, owner, 300)).rejects.toThrow('its training has ended')
    expect(await ledger.movements(trainingId)).toEqual([])
    await ledger.charge({ trainingId, run: 2 }, owner, 300)
    expect(await ledger.balance(owner)).toBe(700)
  })

  test('each role is credited once', async () => {
    await ledger.credit(trainingId, 'trainer', owner, 10)
    await ledger.credit(trainingId, 'dataset-creator', creator, 20)
    await ledger.credit(trainingId, 'trainer', owner, 10)
    expect([await ledger.balance(owner), await ledger.balance(creator)]).toEqual([10, 20])
  })

  test('the movements of a training are its own', async () => {
    await ledger.topUp(owner, 500, 'one')
    await ledger.charge(training, owner, 300)
    await ledger.charge(another, owner, 100)
    await ledger.credit(trainingId, 'trainer', owner, 5)
    const points = (await ledger.movements(trainingId)).map((movement) => movement.points)
    expect(points.sort()).toEqual([-300, 5])
  })

  test('half a point is refused', async () => {
    await expect(async () => ledger.charge(training, owner, 1.5)).rejects.toThrow('whole numbers')
  })

  test('fifty replays at once move the points once', async () => {
    await ledger.topUp(owner, 1000, 'one')
    const charges = await Promise.all(Array.from({ length: 50 }, () => ledger.charge(training, owner, 300)))
    expect(new Set(charges.map(({ at }) => at.getTime())).size).toBe(1)
    await Promise.all(Array.from({ length: 50 }, () => ledger.refund(training, 120)))
    await Promise.all(Array.from({ length: 50 }, () => ledger.credit(trainingId, 'trainer', owner, 7)))
    expect(await ledger.balance(owner)).toBe(1000 - 300 + 120 + 7)
  })

  test('fifty jobs at once never spend more than there is', async () => {
    await ledger.topUp(owner, 1000, 'one')
    const answers = await Promise.allSettled(
      Array.from({ length: 50 }, (_, job) =>
        ledger.charge({ trainingId: `${job}`.padStart(24, '0'), run: 1 }, owner, 100),
      ),
    )
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(10)
    expect(await ledger.balance(owner)).toBe(0)
  })

  test('a charge and a refund at the same time end with no points lost', async () => {
    for (let round = 0; round < 20; round++) {
      const id = `${round}`.padStart(24, 'c')
      const job = { trainingId: id, run: 1 }
      const account = `${round}`.padStart(24, 'd')
      await ledger.topUp(account, 100, id)
      await Promise.allSettled([ledger.charge(job, account, 100), ledger.refund(job, 100)])
      await Promise.allSettled([ledger.refund(job, 100)])
      expect(await ledger.balance(account)).toBe(100)
      await expect(
        ledger.charge(job, account, 100).then(
          (movement) => movement.points,
          () => 'closed',
        ),
      ).resolves.toBeOneOf([-100, 'closed'])
      expect(await ledger.balance(account)).toBe(100)
    }
  })
})
