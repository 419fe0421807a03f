/** What a trainer says on stdout: one JSON object a line. It is untrusted: what doesn't fit is dropped. */
import { z } from 'zod'
import { cut, printable } from '../text.ts'

const text = z.string().transform((value) => cut(printable(value).trim(), 500))
const count = z.int().min(0).max(10_000_000)

const trainerLineSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('phase'), phase: text }),
  z.object({ type: z.literal('progress'), work: text, done: count, total: count }),
  z.object({
    type: z.literal('step'),
    step: count,
    total: count,
    loss: z.number().nullish(),
    secondsPerStep: z.number().nonnegative().nullish(),
  }),
  z.object({ type: z.literal('sample'), step: count, file: text }),
  z.object({ type: z.literal('checkpoint'), step: count }),
  z.object({ type: z.literal('warning'), message: text }),
  z.object({ type: z.literal('error'), message: text, code: text.optional(), detail: text.optional() }),
])

export type TrainerLine = z.infer<typeof trainerLineSchema>

/** Undefined if the line is not one of the contract's. */
export function parseTrainerLine(line: string): TrainerLine | undefined {
  try {
    return trainerLineSchema.safeParse(parseJson(line)).data
  } catch {
    return undefined
  }
}

/** Numbers that JSON has no word for, as Python writes them, are null: a loss that is none is no loss of the line. */
function parseJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return JSON.parse(
      line.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (found) =>
        found.startsWith('"') ? found : 'null',
      ),
    )
  }
}
