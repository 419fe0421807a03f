/**
 * Alerts in the collection `alerts`, one document a key of a deployment: those of others are neither seen nor sent. Each verb changes the state and puts
 * the notice into the same document's outbox in one atomic write: a notice exists if and only if the
 * state changed. `notBefore` is the database's clock; a taken notice is one whose time is a little later.
 */
import type { Db, Filter } from 'mongodb'
import { durable, fromNow, isDuplicateKey, literal } from '../mongo.ts'
import type { Alert, AlertBook, Notification } from './alerts.ts'

type AlertDocument = Alert & {
  /** `<deployment>/<key>`. */
  readonly _id: string
  readonly deployment: string
  readonly raised: boolean
  readonly raisedAt: Date
  readonly clearedAt?: Date
  /** Number of the last notice. */
  readonly notices: number
  readonly outbox: readonly Omit<Notification, 'key'>[]
  /** When the first notice of the outbox may be sent. */
  readonly notBefore: Date
}

export function mongoAlerts(db: Db, deployment: string): AlertBook {
  const idOf = (key: string) => `${deployment}/${key}`
  const keyOf = (id: string) => id.slice(deployment.length + 1)
  const alerts = durable<AlertDocument>(db, 'alerts')

  /** Unless the document is there, and not in that state. */
  async function sayIf(state: Filter<AlertDocument>, key: string, update: object[]): Promise<void> {
    try {
      await alerts.updateOne({ ...state, deployment, _id: idOf(key) }, update, { upsert: true })
    } catch (error) {
      if (!isDuplicateKey(error)) throw error
    }
  }

  return {
    raise(key, alert) {
      const state = { raised: true, raisedAt: '$$NOW', ...literals(alert) }
      return sayIf({ raised: { $ne: true } }, key, say('raised', state, literals(alert)))
    },
    async clear(key, text) {
      const words = { title: '$title', text: literal(text), severity: '$severity' }
      await alerts.updateOne(
        { _id: idOf(key), raised: true },
        say('over', { raised: false, clearedAt: '$$NOW' }, words),
      )
    },
    report(key, alert) {
      const state = { raised: false, raisedAt: '$$NOW', ...literals(alert) }
      return sayIf({ notices: { $exists: false } }, key, say('happened', state, literals(alert)))
    },
    async take(holdMs) {
      const document = await alerts.findOneAndUpdate(
        { deployment, 'outbox.0': { $exists: true }, $expr: { $lte: ['$notBefore', '$$NOW'] } },
        [{ $set: { notBefore: fromNow(holdMs) } }],
        { sort: { notBefore: 1 }, returnDocument: 'after' },
      )
      const first = document?.outbox[0]
      return document && first ? { ...first, key: keyOf(document._id) } : undefined
    },
    async finish({ key, number }) {
      await alerts.updateOne({ _id: idOf(key), 'outbox.0.number': number }, [
        {
          $set: {
            outbox: { $filter: { input: '$outbox', cond: { $ne: ['$$this.number', number] } } },
            notBefore: '$$NOW',
          },
        },
      ])
    },
    async postpone({ key, number, failures }, sentTo, retryMs) {
      const changed = { $mergeObjects: ['$$this', { sentTo: literal(sentTo), failures: failures + 1 }] }
      const isIt = { $eq: ['$$this.number', number] }
      await alerts.updateOne({ _id: idOf(key), 'outbox.0.number': number }, [
        {
          $set: {
            outbox: { $map: { input: '$outbox', in: { $cond: [isIt, changed, '$$this'] } } },
            notBefore: fromNow(retryMs),
          },
        },
      ])
    },
    async standing() {
      const documents = await alerts.find({ deployment, raised: true }).sort({ raisedAt: 1 }).toArray()
      return documents.map(({ _id, title, text, severity, raisedAt }) => ({
        key: keyOf(_id),
        title,
        text,
        severity,
        raisedAt,
      }))
    },
  }
}

function literals({ title, text, severity }: Alert): Record<keyof Alert, object> {
  return { title: literal(title), text: literal(text), severity: literal(severity) }
}

/** The update that sets the state and says so. */
function say(kind: Notification['kind'], state: object, words: object): object[] {
  const number = { $add: [{ $ifNull: ['$notices', 0] }, 1] }
  const notice = { ...words, number, kind: literal(kind), at: '$$NOW', sentTo: [], failures: 0 }
  const idle = { $eq: [{ $ifNull: ['$outbox', []] }, []] }
  return [
    {
      $set: {
        ...state,
        notices: number,
        outbox: { $concatArrays: [{ $ifNull: ['$outbox', []] }, [notice]] },
        notBefore: { $cond: [idle, '$$NOW', '$notBefore'] },
      },
    },
  ]
}

export async function createIndexes(db: Db): Promise<void> {
  await durable(db, 'alerts').createIndex({ deployment: 1, 'outbox.0': 1, notBefore: 1 })
}
