/**
 * How long a job takes on a machine. The phases around the training are what machines of AWS were
 * seen to need; seconds a step are a family's, and finished runs put them right (speed.ts).
 */
import { latentFrames } from './memory.ts'
import type { Plan } from './plan.ts'
import type { Estimate, GpuSpeed } from './recipe.ts'

export type Effort = {
  /** Seconds of one sample (batch of 1) at 1024 × 1024 on an L4, forward and backward. */
  readonly sampleSeconds: number
  /** Tokens of 16 × 16 pixels of which attention takes as long as all else, as it grows with their square. Default: none are so many. */
  readonly tokensOfEqualAttention?: number
  /** Bytes of the base's weights, as they are staged. */
  readonly baseBytes: number
}

/** From the order until SSH answers: 1–2 minutes on AWS's G types. */
const bootSeconds = 120
/** An image of 15–20 GB takes 4–6 minutes unless it is baked into the machine's own. */
const pullSeconds = 300
/** Many ranges at once into one machine of 10 Gbit/s, with room for a slow day. */
const stagingBytesPerSecond = 200e6
/** Weights into memory, then each image, and each frame of a clip that the VAE makes, through the encoders once. */
const loadSeconds = 60
const cacheSecondsPerFrame = 0.5
const shippingSeconds = 60
const teardownSeconds = 90

export function estimateSeconds(plan: Plan, speed: GpuSpeed, effort: Effort): Estimate {
  const { clips, images } = plan.dataset
  const areas = plan.resolutions.map((side) => side ** 2)
  const seconds = (area: number) => effort.sampleSeconds * relativeWork(area, effort)
  // An epoch has each picture once, in one of the resolutions, and each clip once, in the smallest.
  const stillSeconds = mean(areas.map(seconds))
  const clipSeconds = seconds(Math.min(...areas) * latentFrames(plan))
  const sampleSeconds = ((images - clips) * stillSeconds + clips * clipSeconds) / images
  const stepSeconds = sampleSeconds * plan.batchSize * plan.gradientAccumulation

  // Drawing needs the forward pass only, a third of the work, but twice where there is guidance.
  const draws = plan.samples.every > 0 ? Math.floor(plan.steps / plan.samples.every) + 1 : 1
  const drawSeconds =
    plan.samples.prompts.length *
    plan.samples.inferenceSteps *
    seconds(plan.samples.size ** 2) *
    (plan.samples.guidance > 1 && plan.family !== 'FLUX' ? 2 / 3 : 1 / 3)

  const cacheSeconds = ((images - clips) * areas.length + clips * latentFrames(plan)) * cacheSecondsPerFrame
  const onGpu = plan.steps * stepSeconds + draws * drawSeconds + cacheSeconds
  const trainSeconds = loadSeconds + onGpu / speed.timesL4
  const aroundSeconds =
    bootSeconds + pullSeconds + effort.baseBytes / stagingBytesPerSecond + shippingSeconds + teardownSeconds
  return { totalSeconds: Math.ceil(aroundSeconds + trainSeconds), trainSeconds: Math.ceil(trainSeconds) }
}

/** What so many pixels take, of all frames that the VAE makes, in parts of 1024 × 1024. */
export function relativeWork(
  area: number,
  { tokensOfEqualAttention = Infinity }: Pick<Effort, 'tokensOfEqualAttention'>,
): number {
  const work = (tokens: number) => tokens * (1 + tokens / tokensOfEqualAttention)
  return work(area / 16 ** 2) / work(64 ** 2)
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
