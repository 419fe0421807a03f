/**
 * GPU machine types that Bellows may order, and how fast each is. Prices are USD an hour on demand,
 * Linux, us-east-1, August 2026: the fallback where an operator sets none. Spot prices are
 * always queried (prices.ts).
 *
 * `timesL4`: how much faster than an L4 a LoRA trains: an estimate between the ratios of dense bf16 peak
 * (L4 121, A10G 70, L40S 362, H100 989 TFLOPS) and of memory bandwidth (300, 600, 864, 3,350 GB/s), as the
 * 72 W card does not sustain its peak. No family's estimate is above half of a GPU's peak. A starting point only: finished
 * runs correct it.
 */
export type GpuType = {
  readonly type: string
  readonly gpu: string
  readonly gpus: number
  readonly gpuMemoryGb: number
  readonly usdPerHour: number
  readonly timesL4: number
}

export const gpuTypes: readonly GpuType[] = [
  { type: 'g6.xlarge', gpu: 'L4', gpus: 1, gpuMemoryGb: 24, usdPerHour: 0.8, timesL4: 1 },
  { type: 'g5.xlarge', gpu: 'A10G', gpus: 1, gpuMemoryGb: 24, usdPerHour: 1.01, timesL4: 0.65 },
  { type: 'g6e.xlarge', gpu: 'L40S', gpus: 1, gpuMemoryGb: 48, usdPerHour: 1.86, timesL4: 2.8 },
  { type: 'g6e.2xlarge', gpu: 'L40S', gpus: 1, gpuMemoryGb: 48, usdPerHour: 2.24, timesL4: 2.8 },
  { type: 'p5.4xlarge', gpu: 'H100', gpus: 1, gpuMemoryGb: 80, usdPerHour: 6.88, timesL4: 8 },
]

/** By the GPU's name, as offers give it; an unknown GPU counts as an L4. */
export function timesL4(gpu: string): number {
  return gpuTypes.find((each) => each.gpu === gpu)?.timesL4 ?? 1
}
