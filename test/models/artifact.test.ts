import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { families } from '../../src/family.ts'
import { artifactGate, checkArtifact } from '../../src/models/artifact.ts'
import { parseHeader } from '../../src/models/artifact-header.ts'
import { scanValues } from '../../src/models/artifact-values.ts'
import type { Plan } from '../../src/recipes/plan.ts'
import { recipes } from '../../src/recipes/registry.ts'
import { memoryStore } from '../fakes/memory-store.ts'
import { planInput } from '../recipes/samples.ts'
import { assemble, loraMetadata, loraTensors, safetensors, type TestTensors } from '../support/safetensors.ts'

const numbers = ['F32', 'F16', 'BF16'] as const
const methods = ['lora', 'lokr'] as const

function planOf(family: Plan['family'], overrides: Record<string, unknown> = {}): Plan {
  return recipes[family].plan({
    ...planInput,
    name: 'kite-234567',
    captions: [],
    overrides: { rank: 4, alpha: 2, ...overrides },
  })
}

const check = (file: Buffer, plan: Plan) =>
  checkArtifact(async (begin, end) => file.subarray(begin, end), file.length, plan)

const plan = planOf('SDXL')
const first = 'lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q'

/** A right file after `change`. */
function changed(
  change: (tensors: TestTensors, metadata: Record<string, string>) => void,
  of = plan,
): Buffer {
  const tensors = loraTensors(of)
  const metadata = loraMetadata(of)
  change(tensors, metadata)
  return safetensors(tensors, metadata)
}

describe('the artifact gate', () => {
  it.each(
    families.flatMap((family) =>
      methods.flatMap((method) => numbers.map((dtype) => [family, method, dtype] as const)),
    ),
  )('lets a right file of %s pass (%s, %s)', async (family, method, dtype) => {
    const made = planOf(family, { method })
    await check(safetensors(loraTensors(made, dtype), loraMetadata(made)), made)
  })

  it('reads the file from the store', async () => {
    const store = memoryStore()
    const ref = { bucket: 'models', key: 'loras/x.safetensors' } as const
    await store.write(
      ref,
      changed(() => {}),
      'application/octet-stream',
    )
    await artifactGate(store)(ref, plan)
    const missing = artifactGate(store)({ ...ref, key: 'nothing' }, plan)
    await expect(missing).rejects.toMatchObject({ reason: 'bad-artifact', message: 'it is not in the store' })
  })

  it('says of a tensor whose name would paint a terminal only what can be read', async () => {
    const file = changed((tensors) => {
      tensors['\u001b]0;owned\u0007\u001b[2J\u009b31m\u202ename'] = { dtype: 'F32', shape: [1], values: 1 }
    })
    const error = await check(file, plan).catch((each: Error) => each)
    expect((error as Error).message).toMatch(/^it has a tensor of the name "/)
    expect((error as Error).message).not.toMatch(/[\p{Cc}\u202e]/u)
  })

  it.each<[string, (tensors: TestTensors, metadata: Record<string, string>) => void, string]>([
    [
      'a foreign key',
      (t) => {
        t['unet.x.lora_down.weight'] = { dtype: 'F32', shape: [4, 1], values: 1 }
      },
      'would not load the key unet.x',
    ],
    [
      'a key of peft',
      (t) => {
        t['lora_unet_mid_block_x.lora_A.weight'] = { dtype: 'F32', shape: [4, 1], values: 1 }
      },
      'would not load',
    ],
    [
      'a down without its up',
      (t) => {
        delete t[`${first}.lora_up.weight`]
      },
      'has no lora_up.weight',
    ],
    [
      'an up without its down',
      (t) => {
        delete t[`${first}.lora_down.weight`]
      },
      'has no lora_down.weight',
    ],
    [
      'a layer without alpha',
      (t) => {
        delete t[`${first}.alpha`]
      },
      'has no alpha',
    ],
    [
      'another alpha',
      (t) => {
        t[`${first}.alpha`] = { dtype: 'F32', shape: [], values: 4 }
      },
      'has alpha 4, but 2 was planned',
    ],
    [
      'an alpha of many numbers',
      (t) => {
        t[`${first}.alpha`] = { dtype: 'F32', shape: [2], values: 2 }
      },
      'not a single number',
    ],
    [
      'another rank',
      (t) => {
        t[`${first}.lora_down.weight`] = { dtype: 'F32', shape: [8, 16], values: 1 }
      },
      'has rank 8, but 4 was planned',
    ],
    [
      'a dora_scale',
      (t) => {
        t[`${first}.dora_scale`] = { dtype: 'F32', shape: [16], values: 1 }
      },
      'which no two programs load alike',
    ],
    [
      'NaN',
      (t) => {
        t[`${first}.lora_up.weight`] = { dtype: 'F32', shape: [16, 4], values: [0, 1, Number.NaN] }
      },
      'numbers that are not finite',
    ],
    [
      'infinity in half precision',
      (t) => {
        t[`${first}.lora_up.weight`] = { dtype: 'F16', shape: [16, 4], values: [0, -Infinity] }
      },
      'not finite',
    ],
    [
      'NaN in bfloat',
      (t) => {
        t[`${first}.lora_up.weight`] = { dtype: 'BF16', shape: [16, 4], values: [Number.NaN] }
      },
      'not finite',
    ],
    [
      'nothing but zeros',
      (t) => {
        for (const name in t) if (!name.endsWith('alpha')) (t[name] as { values: number }).values = 0
      },
      'change nothing',
    ],
    [
      'every up at zero',
      (t) => {
        for (const name in t) if (name.includes('lora_up')) (t[name] as { values: number }).values = -0
      },
      'change nothing',
    ],
    [
      'no tensors',
      (t) => {
        for (const name in t) delete t[name]
      },
      'it has no tensors',
    ],
    [
      'no word about the plan',
      (_, m) => {
        delete m['bellows.plan_sha256']
      },
      'lacks bellows.plan_sha256',
    ],
    [
      'another dataset',
      (_, m) => {
        m['bellows.dataset_sha256'] = 'c'.repeat(64)
      },
      'another bellows.dataset_sha256',
    ],
    [
      'another trigger word',
      (_, m) => {
        m['bellows.trigger_word'] = 'x'
      },
      'another bellows.trigger_word',
    ],
  ])('refuses a file with %s', async (_, change, sentence) => {
    await expect(check(changed(change), plan)).rejects.toMatchObject({
      reason: 'bad-artifact',
      message: expect.stringContaining(sentence),
    })
  })

  it("refuses diffusers' own names for WAN, which ComfyUI loads nothing of", async () => {
    const wan = planOf('WAN')
    for (const name of [
      'transformer.blocks.0.attn1.to_q',
      'diffusion_model.blocks.0.attn1.to_q',
      'diffusion_model.blocks.0.ffn.net.2',
    ]) {
      const tensors = Object.fromEntries(
        Object.entries(loraTensors(wan)).map(([key, tensor]) => [
          key.replace('diffusion_model.blocks.0.self_attn.q', name),
          tensor,
        ]),
      )
      await expect(check(safetensors(tensors, loraMetadata(wan)), wan)).rejects.toThrow(
        'ComfyUI would not load',
      )
    }
  })

  it('refuses a lokr without one of its factors, and pairs where lokr was planned', async () => {
    const lokr = planOf('FLUX', { method: 'lokr' })
    const layer = 'transformer.transformer_blocks.0.attn.to_q'
    const without = (name: string) =>
      changed((tensors) => {
        delete tensors[`${layer}.${name}`]
      }, lokr)
    await expect(check(without('lokr_w1'), lokr)).rejects.toThrow('has no lokr_w1')
    await expect(check(without('lokr_w2_b'), lokr)).rejects.toThrow('has no lokr_w2')
    const pairs = safetensors(loraTensors(planOf('FLUX')), loraMetadata(lokr))
    await expect(check(pairs, lokr)).rejects.toThrow('lokr was planned')
  })

  it('refuses files whose header and size disagree', async () => {
    const file = changed(() => {})
    const edited = (edit: (header: string) => string) => {
      const length = Number(file.readBigUInt64LE())
      const header = Buffer.from(edit(file.subarray(8, 8 + length).toString()))
      return assemble(header, file.subarray(8 + length))
    }
    const wrong: Record<string, Buffer> = {
      'an empty file': Buffer.alloc(0),
      'eight bytes': file.subarray(0, 8),
      'a file that is cut off': file.subarray(0, -4),
      'a file with a tail': Buffer.concat([file, Buffer.alloc(4)]),
      'a header beyond the end': Buffer.concat([Buffer.from('ffffffffffffff7f', 'hex'), file.subarray(8)]),
      'a web page': Buffer.from('<!doctype html><html><body>Not found</body></html>'),
      'a header that is a list': edited(() => '[]'),
      'broken JSON': edited((header) => header.slice(0, -3)),
      'a gap': edited((header) => header.replace('"data_offsets":[0,', '"data_offsets":[4,')),
      'an unknown type': edited((header) => header.replace('"F32"', '"I64"')),
      'a wrong shape': edited((header) => header.replace('[4,16]', '[4,17]')),
      'a huge shape': edited((header) => header.replace('[4,16]', '[4,9007199254740991]')),
      'metadata of numbers': edited((header) => header.replace(`"${plan.triggerWord}"`, '7')),
    }
    for (const [what, bytes] of Object.entries(wrong)) {
      const outcome = await check(bytes, plan).catch((error) => error.reason)
      expect([what, outcome]).toEqual([what, 'bad-artifact'])
    }
  })

  it('says yes or bad-artifact to any bytes', async () => {
    const file = changed(() => {})
    const header = 8 + Number(file.readBigUInt64LE())
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(header - 1), fc.nat(255)), { minLength: 1, maxLength: 5 }),
        async (edits) => {
          const bytes = Buffer.from(file)
          for (const [at, byte] of edits) bytes[at] = byte
          fc.pre(!bytes.equals(file))
          const error = await check(bytes, plan).catch((each) => each)
          // A changed name may still be one that ComfyUI knows; anything else is refused as an artifact.
          if (error) expect(error.reason).toBe('bad-artifact')
        },
      ),
      { numRuns: 500 },
    )
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        await expect(check(Buffer.from(bytes), plan)).rejects.toMatchObject({ reason: 'bad-artifact' })
      }),
    )
  })

  it('finds what is wrong across pieces of any size', async () => {
    const tensors = loraTensors(plan)
    const file = safetensors(tensors, loraMetadata(plan))
    const start = 8 + Number(file.readBigUInt64LE())
    const header = parseHeader(file.subarray(8, start), file.length)
    for (const size of [1, 3, 7, 64, 1000]) {
      async function* pieces() {
        for (let at = start; at < file.length; at += size) yield file.subarray(at, at + size)
      }
      const { filled, scalars } = await scanValues(header.tensors, pieces())
      expect([...filled].sort()).toEqual(Object.keys(tensors).sort())
      expect([...scalars.values()]).toEqual([2, 2])
    }
  })
})
