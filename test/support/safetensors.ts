/** Small safetensors files for tests, right or wrong in the way that a test wants. */
import type { NumberType } from '../../src/models/artifact-header.ts'
import { numberBytes } from '../../src/models/artifact-header.ts'
import type { Plan } from '../../src/recipes/plan.ts'
import { planSha256 } from '../../src/recipes/plan-text.ts'

export type TestTensor = { dtype: NumberType; shape: number[]; values: number[] | number }
export type TestTensors = Record<string, TestTensor>

export function safetensors(tensors: TestTensors, metadata: Record<string, string> | undefined): Buffer {
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {}
  const bodies: Buffer[] = []
  let position = 0
  for (const [name, { dtype, shape, values }] of Object.entries(tensors)) {
    const count = shape.reduce((product, side) => product * side, 1)
    const body = Buffer.alloc(count * numberBytes[dtype])
    for (let index = 0; index < count; index++) {
      write(body, index, dtype, typeof values === 'number' ? values : (values[index] ?? 0))
    }
    header[name] = { dtype, shape, data_offsets: [position, position + body.length] }
    position += body.length
    bodies.push(body)
  }
  return assemble(Buffer.from(JSON.stringify(header)), Buffer.concat(bodies))
}

export function assemble(header: Buffer, body: Buffer): Buffer {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  return Buffer.concat([length, header, body])
}

/** A right LoRA of two layers for the plan. */
export function loraTensors(plan: Plan, dtype: NumberType = 'F32'): TestTensors {
  const [first, second] = layerNames[plan.family]
  const { rank, alpha, method } = plan.adapter
  const [down, up] = plan.family === 'SDXL' ? ['lora_down', 'lora_up'] : ['lora_A', 'lora_B']
  const tensors: TestTensors = {}
  for (const layer of [first, second]) {
    tensors[`${layer}.alpha`] = { dtype, shape: [], values: alpha }
    if (method === 'lokr') {
      tensors[`${layer}.lokr_w1`] = { dtype, shape: [2, 2], values: 0.5 }
      tensors[`${layer}.lokr_w2_a`] = { dtype, shape: [8, rank], values: 0.25 }
      tensors[`${layer}.lokr_w2_b`] = { dtype, shape: [rank, 8], values: 0.25 }
      continue
    }
    tensors[`${layer}.${down}.weight`] = { dtype, shape: [rank, 16], values: 0.5 }
    tensors[`${layer}.${up}.weight`] = { dtype, shape: [16, rank], values: -0.25 }
  }
  return tensors
}

export function loraMetadata(plan: Plan): Record<string, string> {
  return {
    'bellows.plan_sha256': planSha256(plan),
    'bellows.dataset_sha256': plan.dataset.sha256,
    'bellows.base_sha256': plan.baseModel.sha256,
    'bellows.trigger_word': plan.triggerWord ?? '',
  }
}

const layerNames = {
  SDXL: [
    'lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q',
    'lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_out_0',
  ],
  FLUX: ['transformer.transformer_blocks.0.attn.to_q', 'transformer.single_transformer_blocks.1.proj_out'],
  WAN: ['diffusion_model.blocks.0.self_attn.q', 'diffusion_model.blocks.1.ffn.2'],
} as const

function write(body: Buffer, index: number, dtype: NumberType, value: number): void {
  if (dtype === 'F32') body.writeFloatLE(value, index * 4)
  else body.writeUInt16LE(dtype === 'BF16' ? bfloat(value) : half(value), index * 2)
}

function bfloat(value: number): number {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes.readUInt16LE(2)
}

/** For numbers that half precision holds exactly. */
function half(value: number): number {
  if (value === 0) return 0
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 0x7e00 : 0x7c00
  const power = Math.floor(Math.log2(Math.abs(value)))
  const fraction = Math.round((Math.abs(value) / 2 ** power - 1) * 1024)
  return (value < 0 ? 0x8000 : 0) | ((power + 15) << 10) | fraction
}
