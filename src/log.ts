/** Structured logs: one JSON object a line, with the job and its phase where there is one. */
import { type Logger, pino } from 'pino'
import type { JobEvent, JobEventKind } from './pipeline/events.ts'
import { printableJson } from './text.ts'

export function createLogger(level: string, worker: string): Logger {
  return pino({
    level,
    base: { worker },
    timestamp: pino.stdTimeFunctions.isoTime,
    hooks: { streamWrite: printableJson },
  })
}

const levels: Readonly<Record<JobEventKind, 'debug' | 'info' | 'warn'>> = {
  phase: 'info',
  attempt: 'info',
  activity: 'debug',
  step: 'debug',
  sample: 'debug',
  checkpoint: 'info',
  warning: 'warn',
  failure: 'warn',
  held: 'info',
  outcome: 'info',
  released: 'info',
}

export function logEvent(log: Logger, { trainingId, phase, kind, message, data }: JobEvent): void {
  log[levels[kind]]({ job: trainingId, phase, event: kind, ...(data && { data }) }, message)
}
