import type { Clock } from '../../clock.ts'

/** A part may take so many times as long as the slowest before it. */
const patience = 5

/** No pace makes a silence of more than that a sign of life: the machine is paid for. */
const longestMs = 3 * 60 * 60_000

/**
 * How long to wait for the next part of a work of which each part is told: at least `leastMs`, and longer where the parts
 * are slow, such as the frames of long clips or the steps of a large batch.
 */
export function startPace(clock: Clock): (work: string, done: number, leastMs: number) => number {
  let last: { readonly work: string; readonly done: number; readonly at: number } | undefined
  let slowestMs = 0
  return (work, done, leastMs) => {
    const at = clock.now().getTime()
    if (last?.work !== work) slowestMs = 0
    else if (done > last.done) slowestMs = Math.max(slowestMs, (at - last.at) / (done - last.done))
    last = { work, done, at }
    return Math.max(leastMs, Math.min(patience * slowestMs, longestMs))
  }
}
