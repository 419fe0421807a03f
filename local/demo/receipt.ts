/** The end of the demo: what came out, what it cost, and the proof that nothing is left. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clients } from '../../src/clients.ts'
import { fetch } from '../../src/fetch.ts'
import { manifestRef, parseManifest } from '../../src/models/manifest.ts'
import { phases } from '../../src/trainings/runs.ts'
import type { Display } from './display.ts'

/** Prints the receipt of one job; throws a sentence if something in it isn't true. */
export async function printReceipt(
  trainingId: string,
  ports: Clients['ports'],
  comfyUiFolder: string,
  display: Display,
): Promise<void> {
  const run = await ports.runs.read(trainingId)
  if (!run?.outcome) throw new Error(`training ${trainingId} has not ended`)
  if (run.outcome.ending !== 'trained')
    throw new Error(`It ended: ${run.outcome.ending}. ${run.outcome.sentence}`)

  const text = await ports.store.read(manifestRef(trainingId))
  const manifest = parseManifest(text.toString())
  for (const file of manifest.models) {
    const downloaded = Buffer.from(await (await fetch(file.url)).arrayBuffer())
    mustEqual(sha256(downloaded), file.sha256, `The file at ${file.url}`)
    display.line(`model        ${file.url}`)
    display.line(`             ${file.size} bytes, sha256 ${file.sha256}: as registered`)
    const inComfyUi = await readFile(join(comfyUiFolder, file.name))
    mustEqual(sha256(inComfyUi), file.sha256, `ComfyUI's ${file.name}`)
    display.line(`ComfyUI      models/loras/${file.name}: the same`)
  }
  for (const { url } of manifest.samples.slice(-1)) display.line(`last sample  ${url}`)

  for (const { key, points } of await ports.ledger.movements(trainingId)) {
    display.line(`points       ${String(points).padStart(7)}  ${key.replace(trainingId, '<job>')}`)
  }
  for (const { number, offer, costUsd = 0 } of run.attempts) {
    display.line(`machine ${number}    ${offer.type}, ${offer.market}, ${offer.zone}: $${costUsd.toFixed(4)}`)
  }
  display.line(
    `training     ${manifest.training.steps} steps, ${manifest.training.seconds.toFixed(1)} s, final loss ${manifest.training.finalLoss.toFixed(4)}`,
  )
  const { images, clips } = manifest.plan.dataset
  if (clips > 0) display.line(`dataset      ${images - clips} images and ${clips} clip`)

  let before = run.startedAt.getTime()
  const steps = phases.flatMap((phase) => {
    const at = run.phaseTimes[phase]?.getTime()
    if (at === undefined) return []
    const seconds = ((at - before) / 1000).toFixed(1)
    before = at
    return [`${phase} ${seconds} s`]
  })
  display.line(`steps        ${steps.join(', ')}`)
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function mustEqual(actual: string, expected: string, what: string): void {
  if (actual !== expected) throw new Error(`${what} has sha256 ${actual}, registered is ${expected}`)
}
