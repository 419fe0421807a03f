/** Alerts that name a training or account: those under its key are removed, in others its id is replaced. */
import type { Db, Document } from 'mongodb'
import { durable } from '../mongo.ts'
import type { Trace } from './records.ts'

type AlertDocument = {
  readonly _id: string
  readonly title: string
  readonly text: string
  readonly notices: number
  readonly outbox: readonly { readonly title: string; readonly text: string }[]
} & Document

/** Of every deployment: what is to be forgotten may have been told by any. */
export function alertsNaming(db: Db, id: string, substitute: string): Trace {
  const alerts = durable<AlertDocument>(db, 'alerts')
  // The whole id: a training may be called `step`, and others' alerts speak of steps.
  const named = { $regex: `(^|[^\\w-])${escaped(id)}($|[^\\w-])|^${escaped(id)}$` }
  const naming = {
    $or: [
      { _id: named },
      { title: named },
      { text: named },
      { 'outbox.text': named },
      { 'outbox.title': named },
    ],
  } as Document

  async function replace(alert: AlertDocument): Promise<void> {
    const { _id, title, text, notices, outbox } = alert
    const without = (words: { readonly title: string; readonly text: string }) => ({
      title: words.title.replaceAll(id, substitute),
      text: words.text.replaceAll(id, substitute),
    })
    const changed = {
      ...without({ title, text }),
      outbox: outbox.map((each) => ({ ...each, ...without(each) })),
    }
    // One that has said or sent something meanwhile is looked at again.
    const same = { _id, notices, outbox: { $size: outbox.length } } as Document
    await alerts.updateOne(same, { $set: changed } as Document)
  }

  return {
    name: 'alerts',
    count: () => alerts.countDocuments(naming),
    async remove() {
      await alerts.deleteMany({ _id: named } as Document)
      for (let tries = 0; tries < mostTries; tries++) {
        const found = await alerts.find(naming).toArray()
        if (found.length === 0) return
        for (const alert of found) await replace(alert)
      }
      throw new Error(`Alerts that name ${id} change faster than they can be rewritten. Try again.`)
    },
  }
}

const mostTries = 20

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
