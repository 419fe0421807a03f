/**
 * A document of `trainingJobs`, read without trust: whatever a UI has put there, something comes out,
 * and each value of a foreign type is a problem to tell its owner of.
 */
import { Decimal128, Double, Int32, Long, ObjectId } from 'mongodb'
import { toIdText } from '../mongo.ts'
import { cut, printable } from '../text.ts'
import type { Training, TrainingStatus } from './trainings.ts'

export const statuses = ['QUEUED', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED'] as const

type Document = Readonly<Record<string, unknown>>

/** Characters of a field that is read: a document of 16 MB must not keep the others waiting. */
const longestText = 10_000
/** Entries of a list or an object, and characters of an override: more than any that is granted has. */
const mostEntries = 1000
const longestOverride = 2000
const longestName = 100

/** Fields that are no overrides: the pipeline's own, or of no meaning to a training. */
const known = new Set(
  `_id datasetId ownerAccountId offeringId baseModel status progress failureReason createdAt updatedAt
  startedAt completedAt costPoints paidAt loraModelId modelRepoUrl triggerWords previewImages modelName
  triggerWord steps datasetImageCount walletAddress currentStep totalSteps currentLoss environment`.split(
    /\s+/,
  ),
)

export function trainingFrom(document: Document): Training {
  const problems: string[] = []
  const { _id } = document
  if (!(_id instanceof ObjectId)) problems.push(`_id is ${describe(_id)}, not an ObjectId`)

  function field<T>(name: string, wanted: string, read: (value: unknown) => T | undefined, need: boolean) {
    const value = document[name]
    const result = read(value)
    if (result !== undefined) return result
    const missing = value === undefined || value === null
    if (missing && need) problems.push(`${name} is missing`)
    if (isTooLong(value)) problems.push(`${name} ${tooLong(value)}`)
    else if (!missing) problems.push(`${name} is ${describe(value)}, not ${wanted}`)
    return undefined
  }

  field('status', 'a known status', asStatus, true)
  return {
    id: toIdText(_id),
    status: statusOf(document.status),
    ownerAccountId: field('ownerAccountId', 'an ObjectId', asObjectId, true),
    datasetId: field('datasetId', 'an ObjectId', asObjectId, true),
    offeringId: field('offeringId', 'a text', asText, true),
    baseModel: field('baseModel', 'a text', asText, true),
    modelName: field('modelName', 'a text', asText, false),
    triggerWord: field('triggerWord', 'a text', asText, false),
    steps: field('steps', 'a number', asNumber, false),
    createdAt: field('createdAt', 'a date', asDate, true) ?? bornAt(_id),
    costPoints: field('costPoints', 'a number', asNumber, false),
    problems,
    overrides: Object.fromEntries(
      Object.entries(document).flatMap(([name, value]) => {
        const override = known.has(name) || name.length > longestName ? undefined : plain(value)
        return override === undefined ? [] : [[name, override]]
      }),
    ),
  }
}

/** An unknown status was set for some other purpose than a training. */
export function statusOf(value: unknown): TrainingStatus {
  return asStatus(value) ?? 'CANCELLED'
}

/** Why no claim ever takes it. */
export function notUnderstood({ _id, status }: Document): string {
  const id = shorten(toIdText(_id))
  if (asStatus(status)) return `${id}: its _id is ${describe(_id)}, neither an ObjectId nor a text`
  return `${id}: its status is ${describe(status)}, not one of ${statuses.join(', ')}`
}

/** The account under whose limit a job counts; undefined where the document names none. */
export function ownerOf(document: Document): string | undefined {
  return asObjectId(document.ownerAccountId) ?? asText(document.ownerAccountId)
}

/** 0–100 with one decimal. */
export function clampPercent(value: number): number {
  return Math.round(Math.min(100, Math.max(0, value)) * 10) / 10
}

const asObjectId = (value: unknown) => (value instanceof ObjectId ? value.toHexString() : undefined)
const asText = (value: unknown) =>
  typeof value === 'string' && value !== '' && !isTooLong(value) ? value : undefined
const asDate = (value: unknown) =>
  value instanceof Date && !Number.isNaN(value.getTime()) ? value : undefined
const asStatus = (value: unknown) => statuses.find((status) => status === value) as TrainingStatus | undefined

function asNumber(value: unknown): number | undefined {
  const numeric = value instanceof Decimal128 ? Number(value.toString()) : unbox(value)
  return typeof numeric === 'number' && Number.isFinite(numeric) ? numeric : undefined
}

function unbox(value: unknown): unknown {
  if (value instanceof Long) return value.toNumber()
  return value instanceof Double || value instanceof Int32 ? value.valueOf() : value
}

function bornAt(id: unknown): Date {
  return id instanceof ObjectId ? id.getTimestamp() : new Date(0)
}

/** The value if JSON could carry it, to a depth that an override needs; else undefined. */
function plain(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return cut(value, longestOverride)
  if (typeof value === 'boolean') return value
  const number = asNumber(value)
  if (number !== undefined) return number
  if (depth > 3 || value === null || typeof value !== 'object') return undefined
  if (Array.isArray(value)) return value.slice(0, mostEntries).map((each) => plain(each, depth + 1) ?? null)
  if (Object.getPrototypeOf(value) !== Object.prototype) return undefined
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, mostEntries)
      .map(([name, each]) => [cut(name, longestName), plain(each, depth + 1) ?? null]),
  )
}

function describe(value: unknown): string {
  if (value === undefined || value === null) return 'missing'
  if (value === '') return 'an empty text'
  if (typeof value === 'string') return `the text "${shorten(value)}"`
  if (typeof value === 'number') return `the number ${value}`
  if (typeof value === 'boolean') return `${value}`
  if (value instanceof ObjectId) return 'an ObjectId'
  if (value instanceof Date) return 'a date'
  return Array.isArray(value) ? 'a list' : 'an object'
}

function isTooLong(value: unknown): value is string {
  return typeof value === 'string' && value.length > longestText
}

function tooLong({ length }: string): string {
  return `has ${length} characters, but may have at most ${longestText}`
}

/** As it may be shown to anyone. */
function shorten(text: string): string {
  return printable(text.length > 40 ? `${cut(text, 40)}…` : text)
}
