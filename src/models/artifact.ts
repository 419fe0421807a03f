/**
 * The artifact gate: reads a trained file back from the store, as users will get it, before anyone is
 * told of it. ComfyUI takes a file that fits nothing without a word, and a crashed save leaves numbers
 * that mean nothing, so every key and every number is looked at.
 */
import type { Plan } from '../recipes/plan.ts'
import { planSha256 } from '../recipes/plan-text.ts'
import type { ObjectRef, Store } from '../storage/store.ts'
import { bad, type Header, headerLength, lengthBytes, parseHeader } from './artifact-header.ts'
import { checkLayers, type Layer } from './artifact-keys.ts'
import { scanValues, type Values } from './artifact-values.ts'

/** Bytes that are read at once: memory stays at two of these, however large the file is. */
const pieceBytes = 8 * 1024 * 1024

/** Reads the bytes from `begin` to `end`, `end` not included. */
export type ReadRange = (begin: number, end: number) => Promise<Buffer>

/** The gate over a store; Failure('bad-artifact') unless the file is a usable LoRA of the plan. */
export function artifactGate(store: Store): (file: ObjectRef, plan: Plan) => Promise<void> {
  return async (file, plan) => {
    const info = await store.info(file)
    if (!info) throw bad('it is not in the store')
    const read: ReadRange = (begin, end) => store.read(file, { range: [begin, end - 1] })
    await checkArtifact(read, info.size, plan)
  }
}

export async function checkArtifact(read: ReadRange, size: number, plan: Plan): Promise<void> {
  const length = headerLength(await read(0, Math.min(size, lengthBytes)), size)
  const start = lengthBytes + length
  const header = parseHeader(await read(lengthBytes, start), size)
  checkMetadata(header, plan)
  const layers = checkLayers(header.tensors, plan)
  const values = await scanValues(header.tensors, pieces(read, start, size))
  checkAlpha(layers, values, plan)
  checkEffect(layers, values)
}

/** The next piece is on its way while the last one is looked at. */
async function* pieces(read: ReadRange, begin: number, end: number): AsyncGenerator<Buffer> {
  const next = (from: number) => {
    const reading = from < end ? read(from, Math.min(end, from + pieceBytes)) : undefined
    reading?.catch(() => {}) // thrown where it is awaited, if it still is
    return reading
  }
  let reading = next(begin)
  for (let position = begin; reading; position += pieceBytes) {
    const piece = await reading
    reading = next(position + pieceBytes)
    yield piece
  }
}

/** What the file says of itself must be what was ordered. */
function checkMetadata({ metadata }: Header, plan: Plan): void {
  const expected: Readonly<Record<string, string>> = {
    'bellows.plan_sha256': planSha256(plan),
    'bellows.dataset_sha256': plan.dataset.sha256,
    'bellows.base_sha256': plan.baseModel.sha256,
    'bellows.trigger_word': plan.triggerWord ?? '',
  }
  for (const [key, value] of Object.entries(expected)) {
    const found = metadata[key]
    if (found === undefined) throw bad(`its metadata lacks ${key}`)
    if (found !== value) throw bad(`its metadata says another ${key} than the plan`)
  }
}

/** Rounding to half precision may change the third digit. */
function checkAlpha(layers: readonly Layer[], { scalars }: Values, { adapter }: Plan): void {
  for (const { name, parts } of layers) {
    const alpha = scalars.get(parts.get('alpha')?.name ?? '')
    if (alpha === undefined) throw bad(`the alpha of ${name} is not a single number`)
    if (Math.abs(alpha - adapter.alpha) > adapter.alpha * 0.01) {
      throw bad(`${name} has alpha ${alpha}, but ${adapter.alpha} was planned`)
    }
  }
}

/** An adapter starts with one factor of each product at zero: one that learned nothing still is there. */
function checkEffect(layers: readonly Layer[], { filled }: Values): void {
  const effective = layers.some(({ parts }) =>
    [...parts].every(([role, { name }]) => role === 'alpha' || filled.has(name)),
  )
  if (!effective) throw bad('it would change nothing: every layer is zero')
}
