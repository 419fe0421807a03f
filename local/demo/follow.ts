/** Turns the worker's log lines into what a person wants to see of one job. */
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { z } from 'zod'
import { bar, type Display } from './display.ts'

const lineSchema = z.looseObject({
  time: z.string(),
  msg: z.string().optional(),
  job: z.string().optional(),
  phase: z.string().optional(),
  event: z.string().optional(),
  data: z.record(z.string(), z.unknown()).optional(),
  err: z.looseObject({ message: z.string() }).optional(),
})

type LogLine = z.infer<typeof lineSchema>

export type Followed = {
  /** Settles when that job has ended and its worker has let go of it. */
  ended(trainingId: string): Promise<void>
  /** Settles with the worker's address. */
  readonly url: Promise<string>
}

export function followLog(log: Readable, display: Display): Followed {
  const endings = new Map<string, PromiseWithResolvers<void>>()
  const url = Promise.withResolvers<string>()
  const started = Date.now()
  const seconds = () => `${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s`
  const ending = (id: string) => {
    const known = endings.get(id) ?? Promise.withResolvers<void>()
    endings.set(id, known)
    return known
  }

  createInterface({ input: log }).on('line', (text) => {
    const line = parse(text)
    if (!line) return
    if (typeof line.url === 'string') url.resolve(line.url)
    print(line, display, seconds())
    if (line.event === 'released' && line.data?.ended === true && line.job) ending(line.job).resolve()
  })
  return { url: url.promise, ended: (id) => ending(id).promise }
}

function print({ event, phase, msg = '', data = {}, err }: LogLine, display: Display, at: string): void {
  if (event === 'phase') display.line(`${at}  ● ${String(data.phase ?? phase).padEnd(12)} ${msg}`)
  else if (event === 'attempt' || event === 'checkpoint' || event === 'failure' || event === 'warning') {
    display.line(`${at}    ${' '.repeat(12)} ${msg}`)
  } else if (event === 'step') display.activity(`${at}    training     ${progress(data)}`)
  else if (event === 'activity') display.activity(`${at}    ${msg}`)
  else if (err) display.line(`${at}  ! ${msg}: ${err.message}`)
}

function progress(data: Readonly<Record<string, unknown>>): string {
  const [step, total, loss] = [Number(data.step), Number(data.total), data.loss]
  const eta = data.etaSeconds === undefined ? '' : `  ${String(data.etaSeconds)} s left`
  const shownLoss = typeof loss === 'number' ? `  loss ${loss.toFixed(4)}` : ''
  return `${bar(step / total)} ${step}/${total}${shownLoss}${eta}  $${Number(data.costUsd).toFixed(4)}`
}

function parse(text: string): LogLine | undefined {
  try {
    return lineSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
