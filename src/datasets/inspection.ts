/** What is asked of a child, and what it answers: a line of JSON each way. */
import { z } from 'zod'
import type { Recipe } from '../recipes/recipe.ts'

export type InspectionRequest = {
  /** The stranger's file. */
  readonly path: string
  /** Where a clean image is written. */
  readonly cleanPath: string
  readonly limits: Pick<Recipe['limits'], 'minSide' | 'maxSide' | 'clips'>
}

export const inspectionSchema = z.union([
  z.object({
    /** `given`: the file is passed on as it is. */
    clean: z.enum(['given', 'written']),
    extension: z.enum(['jpg', 'png', 'mp4', 'webm']),
    warnings: z.array(z.string().max(200)).max(5),
  }),
  /** Completes a sentence that begins with the image's number. */
  z.object({ problem: z.string().max(300) }),
  /** As `problem` does, but refuses this file and not the whole dataset. */
  z.object({ leftOut: z.string().max(300) }),
  /** The operating system refused: the computer is at fault, not the file. */
  z.object({ code: z.string().max(40), syscall: z.string().max(40), message: z.string().max(1000) }),
])

export type Inspection = Readonly<z.infer<typeof inspectionSchema>>
