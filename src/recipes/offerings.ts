/**
 * Offerings: what a user can buy. An operator's file is an object of them by key (`offeringId` in a
 * training's document); without a file there are three.
 */
import { z } from 'zod'
import { familySchema } from '../family.ts'
import { unknownOverride } from './misspelt.ts'
import { operatorLimits, readOverrides } from './overrides.ts'
import type { Plan } from './plan.ts'

/** As far as it is safe as an argument; Docker checks the rest of its grammar. */
const imageSchema = z
  .string()
  .max(255)
  .regex(/^[a-z0-9][\w./:@-]*$/i)

export const offeringSchema = z
  .strictObject({
    family: familySchema,
    /** Folder of the base model in the bases bucket. */
    base: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/),
    /** The whole price, fee included. */
    pricePoints: z.int().min(0).optional(),
    /** Price before the platform fee. */
    usd: z.number().min(0).max(10_000).optional(),
    /** On top of `usd`, before the fee: for trainings whose length the user may choose. */
    usdPerThousandSteps: z.number().min(0).max(1_000).optional(),
    /** Another image that obeys the container's contract. */
    image: imageSchema.optional(),
    /** Images that a job may name in its place; one that ends with `/` stands for all below it. */
    jobImages: z.array(imageSchema).optional(),
    /** The most that the machines of a job may cost. */
    maxCostUsd: z.number().positive().optional(),
    /** Defaults over the recipe's; a job's own overrides go before them. */
    overrides: z
      .record(z.string(), z.unknown())
      .default({})
      .superRefine((overrides, context) => {
        for (const name of Object.keys(overrides)) {
          const message = unknownOverride(name)
          if (message) context.addIssue({ code: 'custom', path: [name], message })
        }
        try {
          readOverrides(overrides, operatorLimits)
        } catch (error) {
          context.addIssue({
            code: 'custom',
            message: error instanceof Error ? error.message : String(error),
          })
        }
      }),
  })
  .refine(({ pricePoints, usd }) => (pricePoints === undefined) !== (usd === undefined), {
    message: 'give either pricePoints or usd',
  })
  .refine(
    ({ pricePoints, usdPerThousandSteps }) => pricePoints === undefined || usdPerThousandSteps === undefined,
    {
      message: 'pricePoints is the whole price: usdPerThousandSteps goes with usd',
    },
  )

export type Offering = Readonly<z.infer<typeof offeringSchema>>

export const offeringsSchema = z.record(z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/), offeringSchema)

export type Offerings = Readonly<Record<string, Offering>>

/** About twice what the machine costs at on-demand prices of autumn 2026, and never less than it may cost. */
export const defaultOfferings: Offerings = {
  'sdxl-lora': { family: 'SDXL', base: 'sdxl', usd: 2, maxCostUsd: 2, overrides: {} },
  'flux-lora': { family: 'FLUX', base: 'flux', usd: 6, maxCostUsd: 6, overrides: {} },
  'wan-lora': { family: 'WAN', base: 'wan', usd: 12, maxCostUsd: 12, overrides: {} },
}

export function mayNameImage({ jobImages = [] }: Offering, image: unknown): image is string {
  const { success, data } = imageSchema.safeParse(image)
  return success && jobImages.some((each) => (each.endsWith('/') ? data.startsWith(each) : data === each))
}

/** A sentence for each offering that nothing could train. */
export function withoutImage(
  offerings: Offerings,
  images: Readonly<Record<Plan['family'], string | undefined>>,
): readonly string[] {
  return Object.entries(offerings)
    .filter(([, { image, family }]) => !image && !images[family])
    .map(
      ([key, { family }]) =>
        `the offering "${key}" has no trainer image: set BELLOWS_IMAGE_${family} to one of yours, or its "image" in BELLOWS_OFFERINGS`,
    )
}

/** `platformFee` is a share, such as 0.2. Whole points, rounded up. */
export function pricePoints(
  offering: Offering,
  plan: Pick<Plan, 'steps'>,
  rates: { readonly pointsPerUsd: number; readonly platformFee: number },
): number {
  if (offering.pricePoints !== undefined) return offering.pricePoints
  const usd = (offering.usd ?? 0) + ((offering.usdPerThousandSteps ?? 0) * plan.steps) / 1000
  // To a millionth first: 0.1 + 0.2 must not cost a point more.
  return Math.ceil(Number((usd * (1 + rates.platformFee) * rates.pointsPerUsd).toFixed(6)))
}
