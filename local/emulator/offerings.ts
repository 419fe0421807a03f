/** What the local deployment sells: the real recipes on tiny bases, small and short enough for a CPU. */
import type { Family } from '../../src/family.ts'
import type { Offerings } from '../../src/recipes/offerings.ts'

/** `precision` and the rest are what a CPU can do. */
export const tinyOverrides = {
  resolution: 64,
  steps: 60,
  rank: 4,
  precision: 'fp32',
  optimizer: 'adamw',
  quantization: 'none',
  gradientCheckpointing: false,
  learningRate: 1e-3,
  checkpointEvery: 20,
  sampleEvery: 0,
  sampleSteps: 4,
}

/** Name of a family's tiny base in the bases bucket. */
export function tinyBase(family: Family): string {
  return `tiny-${family.toLowerCase()}`
}

export const localOfferings: Offerings = {
  'sdxl-lora': { family: 'SDXL', base: tinyBase('SDXL'), usd: 2, overrides: tinyOverrides },
  'flux-lora': { family: 'FLUX', base: tinyBase('FLUX'), usd: 6, overrides: tinyOverrides },
  'wan-lora': { family: 'WAN', base: tinyBase('WAN'), usd: 12, overrides: tinyOverrides },
}
