/** `trainingJobs` without a database, for runs of the workflow with simulated parts. */
import { ObjectId } from 'mongodb'
import { toIdText } from '../../src/mongo.ts'
import {
  clampPercent,
  notUnderstood,
  ownerOf,
  statuses,
  statusOf,
  trainingFrom,
} from '../../src/trainings/training-document.ts'
import type { Pause, TrainingResult, TrainingStatus, Trainings } from '../../src/trainings/trainings.ts'

type Document = Record<string, unknown>

export type MemoryTrainings = Trainings & {
  /** As the UI does; returns the id. Fields that are not given are missing. */
  insert(document: Document): string
  /** What the UI may set, such as `{status: 'CANCELLED'}`. */
  set(id: string, fields: Document): void
  /** The same documents, as another deployment claims them: with slots and a pause of its own. */
  as(options: MemoryTrainingsOptions): MemoryTrainings
  /** As when a person deletes it. */
  remove(id: string): void
  document(id: string): Readonly<Document> | undefined
  /** Its status was set, or it was removed. */
  isTouched(id: string): boolean
  slots(): readonly string[]
}

export type MemoryTrainingsOptions = {
  readonly now?: () => Date
  readonly environment?: 'development' | 'production'
  readonly writeStepFields?: boolean
  /** Whether a live lease holds it; give `memoryRuns(…).isHeld`. */
  readonly isHeld?: (id: string) => boolean
  /** Whether a run of it exists that has not ended; give `memoryRuns(…).isUnfinished`. */
  readonly isUnfinished?: (id: string) => boolean
}

export function memoryTrainings(options: MemoryTrainingsOptions = {}): MemoryTrainings {
  return trainingsIn(new Map(), options)
}

function trainingsIn(documents: Map<string, Document>, options: MemoryTrainingsOptions): MemoryTrainings {
  const { now = () => new Date(), environment, writeStepFields = true } = options
  const { isHeld = () => false, isUnfinished = () => false } = options
  const slots = new Map<string, string | null>()
  const touched = new Set<string>()
  let pause: Pause | undefined

  function ours(): [string, Document][] {
    const known = [...documents].filter(
      ([, document]) =>
        !environment || [environment, null, undefined].includes(document.environment as never),
    )
    return known.sort(([, a], [, b]) => (bornAt(a) < bornAt(b) ? -1 : bornAt(a) > bornAt(b) ? 1 : 0))
  }

  function hasRoom(document: Document, perOwner: number): boolean {
    const owner = ownerOf(document)
    return owner === undefined || [...slots.values()].filter((each) => each === owner).length < perOwner
  }

  function sweep(): void {
    for (const id of slots.keys()) {
      const status = documents.get(id)?.status
      if (status !== 'QUEUED' && status !== 'RUNNING' && !isUnfinished(id)) slots.delete(id)
    }
  }

  function start([, document]: [string, Document]) {
    const progress = document.progress ?? 0
    Object.assign(document, { status: 'RUNNING', progress, startedAt: now(), updatedAt: now() })
    return trainingFrom(document)
  }

  function whileRunning(id: string, fields: Document): void {
    const document = documents.get(id)
    if (document?.status === 'RUNNING') Object.assign(document, fields, { updatedAt: now() })
  }

  function whileEnded(id: string, fields: Document): void {
    const document = documents.get(id)
    if (!document || document.status === 'QUEUED' || document.status === 'RUNNING') return
    Object.assign(document, fields, { updatedAt: now() })
  }

  const resultOf = ({ modelId, ...fields }: TrainingResult) => ({
    ...fields,
    loraModelId: ObjectId.createFromHexString(modelId),
  })

  return {
    insert(document) {
      const copy = { _id: new ObjectId(), ...document }
      const id = toIdText(copy._id)
      documents.set(id, copy)
      return id
    },
    set(id, fields) {
      if ('status' in fields) touched.add(id)
      Object.assign(documents.get(id) ?? {}, fields)
    },
    as: (others) => trainingsIn(documents, others),
    isTouched: (id) => touched.has(id),
    remove(id) {
      touched.add(id)
      documents.delete(id)
    },
    document: (id) => documents.get(id),
    slots: () => [...slots.keys()],
    async claim(limits, except = []) {
      if (pause) return undefined
      const reserved = ours().find(([id, { status }]) => status === 'QUEUED' && slots.has(id))
      if (reserved) return start(reserved)
      sweep()
      if (slots.size >= limits.running) return undefined
      const next = ours().find(
        ([id, each]) =>
          each.status === 'QUEUED' &&
          isUsable(each) &&
          !except.includes(id) &&
          hasRoom(each, limits.runningPerOwner),
      )
      if (!next) return undefined
      slots.set(next[0], ownerOf(next[1]) ?? null)
      return start(next)
    },
    async read(id) {
      const document = documents.get(id)
      return document && trainingFrom(document)
    },
    async statuses(ids) {
      const found = ids.flatMap((id) => {
        const document = documents.get(id)
        return document ? [[id, statusOf(document.status)] as const] : []
      })
      return new Map(found)
    },
    async orphans(limit) {
      const running = ours().filter(
        ([id, { status }]) => status === 'RUNNING' && slots.has(id) && !isHeld(id),
      )
      return running.slice(0, limit).map(([id]) => id)
    },
    async strangers(limit) {
      const running = ours().filter(
        ([id, document]) => document.status === 'RUNNING' && !slots.has(id) && isUsable(document),
      )
      return running.slice(0, limit).map(([id]) => id)
    },
    async notUnderstood() {
      const strange = ours().filter(([, document]) => {
        const known = statuses.some((each) => each === document.status)
        const waits = document.status === 'QUEUED' || document.status === 'RUNNING'
        return !known || (waits && !isUsable(document))
      })
      return { count: strange.length, examples: strange.slice(0, 5).map(([, each]) => notUnderstood(each)) }
    },
    async pause(by) {
      pause ??= { since: now(), by }
    },
    async resume() {
      pause = undefined
    },
    paused: async () => pause,
    async recordCharge(id, points, at) {
      whileRunning(id, { costPoints: points, paidAt: at })
    },
    async recordProgress(id, { progress, step, totalSteps, loss }) {
      const steps = { currentStep: step, totalSteps, ...(loss !== undefined && { currentLoss: loss }) }
      whileRunning(id, { progress: clampPercent(progress), ...(writeStepFields && steps) })
    },
    async complete(id, result, remark) {
      whileRunning(id, {
        ...resultOf(result),
        ...(remark && { failureReason: remark }),
        status: 'COMPLETED',
        progress: 100,
        completedAt: now(),
      })
    },
    async fail(id, sentence) {
      whileRunning(id, { status: 'FAILED', failureReason: sentence })
    },
    async restore(id, { status, remark, endedAt, result }) {
      const model = result && { ...resultOf(result), progress: 100, completedAt: endedAt }
      whileRunning(id, { ...model, status, failureReason: remark })
    },
    async explain(id, sentence) {
      if (!documents.get(id)?.failureReason) whileEnded(id, { failureReason: sentence })
    },
    async deliver(id, result, remark) {
      const model = documents.get(id)?.loraModelId
      if (model instanceof ObjectId && model.toHexString() === result.modelId) return
      whileEnded(id, { ...resultOf(result), failureReason: remark })
    },
    async releaseSlot(id) {
      slots.delete(id)
      whileRunning(id, { status: 'QUEUED' })
    },
    async counts() {
      const counts = Object.fromEntries(statuses.map((status) => [status, 0])) as Record<
        TrainingStatus,
        number
      >
      for (const { status } of documents.values()) {
        const known = statuses.find((each) => each === status)
        if (known) counts[known]++
      }
      return counts
    },
  }
}

function isUsable({ _id }: Document): boolean {
  return _id instanceof ObjectId || typeof _id === 'string'
}

/** Documents without a date come first, as in MongoDB's order of types. */
function bornAt({ createdAt }: Document): number {
  return createdAt instanceof Date ? createdAt.getTime() : Number.NEGATIVE_INFINITY
}
