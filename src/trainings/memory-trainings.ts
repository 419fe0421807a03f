/** `trainingJobs` without a database, for runs of the workflow with simulated parts. */
import { ObjectId } from 'mongodb'
import { toIdText } from '../mongo.ts'
import { clampPercent, ownerOf, statuses, trainingFrom } from './training-document.ts'
import type { TrainingStatus, Trainings } from './trainings.ts'

type Document = Record<string, unknown>

export type MemoryTrainings = Trainings & {
  /** As the UI does; returns the id. Fields that are not given are missing. */
  insert(document: Document): string
  /** What the UI may set, such as `{status: 'CANCELLED'}`. */
  set(id: string, fields: Document): void
  document(id: string): Readonly<Document> | undefined
  places(): readonly string[]
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
  const { now = () => new Date(), environment, writeStepFields = true } = options
  const { isHeld = () => false, isUnfinished = () => false } = options
  const documents = new Map<string, Document>()
  const places = new Map<string, string | null>()

  function ours(): [string, Document][] {
    const known = [...documents].filter(
      ([, document]) =>
        !environment || [environment, null, undefined].includes(document.environment as never),
    )
    return known.sort(([, a], [, b]) => (bornAt(a) < bornAt(b) ? -1 : bornAt(a) > bornAt(b) ? 1 : 0))
  }

  function hasRoom(document: Document, perOwner: number): boolean {
    const owner = ownerOf(document)
    return owner === undefined || [...places.values()].filter((each) => each === owner).length < perOwner
  }

  function sweep(): void {
    for (const id of places.keys()) {
      const status = documents.get(id)?.status
      if (status !== 'QUEUED' && status !== 'RUNNING' && !isUnfinished(id)) places.delete(id)
    }
  }

  function whileRunning(id: string, fields: Document): void {
    const document = documents.get(id)
    if (document?.status === 'RUNNING') Object.assign(document, fields, { updatedAt: now() })
  }

  return {
    insert(document) {
      const copy = { _id: new ObjectId(), ...document }
      const id = toIdText(copy._id)
      documents.set(id, copy)
      return id
    },
    set(id, fields) {
      Object.assign(documents.get(id) ?? {}, fields)
    },
    document: (id) => documents.get(id),
    places: () => [...places.keys()],
    async claim(limits) {
      sweep()
      if (places.size >= limits.running) return undefined
      const [id, document] =
        ours().find(([, each]) => each.status === 'QUEUED' && hasRoom(each, limits.runningPerOwner)) ?? []
      if (id === undefined || !document) return undefined
      places.set(id, ownerOf(document) ?? null)
      Object.assign(document, { status: 'RUNNING', startedAt: now(), updatedAt: now() })
      return trainingFrom(document)
    },
    async read(id) {
      const document = documents.get(id)
      return document && trainingFrom(document)
    },
    async orphans(limit) {
      const running = ours().filter(([id, { status }]) => status === 'RUNNING' && !isHeld(id))
      return running.slice(0, limit).map(([id]) => id)
    },
    async recordCharge(id, points, at) {
      whileRunning(id, { costPoints: points, paidAt: at })
    },
    async recordProgress(id, { progress, step, totalSteps, loss }) {
      const steps = { currentStep: step, totalSteps, ...(loss !== undefined && { currentLoss: loss }) }
      whileRunning(id, { progress: clampPercent(progress), ...(writeStepFields && steps) })
    },
    async complete(id, { modelId, ...result }, remark) {
      const loraModelId = ObjectId.createFromHexString(modelId)
      whileRunning(id, {
        ...result,
        ...(remark && { failureReason: remark }),
        loraModelId,
        status: 'COMPLETED',
        progress: 100,
        completedAt: now(),
      })
    },
    async fail(id, sentence) {
      whileRunning(id, { status: 'FAILED', failureReason: sentence })
    },
    async freePlace(id) {
      places.delete(id)
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

/** Documents without a date come first, as in MongoDB's order of types. */
function bornAt({ createdAt }: Document): number {
  return createdAt instanceof Date ? createdAt.getTime() : Number.NEGATIVE_INFINITY
}
