/** The families of base models that Bellows trains. */
import { z } from 'zod'

export const families = ['SDXL', 'FLUX', 'WAN'] as const
export const familySchema = z.enum(families)
export type Family = z.infer<typeof familySchema>
