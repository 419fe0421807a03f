/**
 * Warnings of a job in its timeline: each sentence once, at most a hundred, then a count. A trainer that warns
 * without end costs a hundred writes, one after the other, and a worker that follows it again writes none twice.
 */
import type { Job } from '../job.ts'

export type Warnings = {
  /** From the trainer; the last ten of the hundred places are not for it. */
  fromTrainer(message: string): void
  /** What this worker has noticed. */
  say(message: string): void
  /** Everything is written, and how many were left out. */
  close(): Promise<void>
}

const most = 100
const mostOfTrainer = 90

export async function openWarnings(job: Job): Promise<Warnings> {
  const events = await job.ports.timeline.read(job.training.id).catch(() => [])
  const told = new Set(events.filter(({ kind }) => kind === 'warning').map(({ message }) => message))
  let leftOut = 0
  let writing: Promise<unknown> = Promise.resolve()

  function record(message: string, places: number): void {
    if (told.has(message)) return
    if (told.size >= places) {
      leftOut++
      return
    }
    told.add(message)
    writing = writing.then(() => job.record('warning', message)).catch(() => {})
  }

  return {
    fromTrainer: (message) => record(message, mostOfTrainer),
    say: (message) => record(message, most),
    async close() {
      if (leftOut > 0) {
        const message = `${leftOut} more warnings were left out`
        writing = writing.then(() => job.record('warning', message, { leftOut })).catch(() => {})
      }
      await writing
    },
  }
}
