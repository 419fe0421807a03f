/**
 * Whether ComfyUI would load every tensor of a LoRA. It only warns about a key that it doesn't know and
 * goes on without effect, so a key of a foreign form makes the file unusable. The forms are those that its
 * own key mapping was seen to load.
 */
import type { Family } from '../family.ts'
import type { Plan } from '../recipes/plan.ts'
import { cut } from '../text.ts'
import { bad, type Tensor } from './artifact-header.ts'

/** One adapted layer: its tensors by role. */
export type Layer = { readonly name: string; readonly parts: ReadonlyMap<string, Tensor> }

/** Modules of a base that ComfyUI maps, and what stands between module and role. */
const modules: Readonly<Record<Family, RegExp>> = {
  // Text encoders may be trained by other images that obey the container's contract.
  SDXL: /^lora_(?:unet_(?:(?:down|up|mid|input|output|middle)_blocks?_|time_embed|label_emb|conv_in|conv_out|out_)|te[12]_text_model_)\w*$/,
  FLUX: /^transformer\.(?:(?:single_)?transformer_blocks\.\d+\.[\w.]+|x_embedder|context_embedder|proj_out|norm_out\.linear|time_text_embed\.[\w.]+)$/,
  // Not attn1, to_q or ffn.net: diffusers' own names load nothing at all.
  WAN: /^diffusion_model\.(?:blocks\.\d+\.(?:(?:self|cross)_attn\.(?:q|k|v|o|k_img|v_img)|ffn\.[02])|(?:text|time)_embedding\.[02]|time_projection\.1|head\.head)$/,
}

/** Roles, and how each family's files call them. */
const pairs: Readonly<Record<Family, readonly [down: string, up: string]>> = {
  SDXL: ['lora_down.weight', 'lora_up.weight'],
  FLUX: ['lora_A.weight', 'lora_B.weight'],
  WAN: ['lora_A.weight', 'lora_B.weight'],
}

const kronecker = ['lokr_w1', 'lokr_w1_a', 'lokr_w1_b', 'lokr_w2', 'lokr_w2_a', 'lokr_w2_b', 'lokr_t2']

/** The layers of the file; Failure('bad-artifact') where one would not load or isn't as planned. */
export function checkLayers(tensors: readonly Tensor[], plan: Plan): readonly Layer[] {
  const layers = groupByLayer(tensors, plan.family)
  for (const layer of layers) {
    if (!layer.parts.has('alpha')) throw bad(`${layer.name} has no alpha`)
    if (plan.adapter.method === 'lokr') checkKronecker(layer, plan)
    else checkPair(layer, plan)
  }
  return layers
}

function groupByLayer(tensors: readonly Tensor[], family: Family): readonly Layer[] {
  const roles = [...pairs[family], 'alpha', ...kronecker]
  const layers = new Map<string, Map<string, Tensor>>()
  for (const tensor of tensors) {
    if (tensor.name.endsWith('.dora_scale'))
      throw bad(`${cut(tensor.name, 120)} is DoRA, which no two programs load alike`)
    const role = roles.find((each) => tensor.name.endsWith(`.${each}`))
    const name = role && tensor.name.slice(0, -role.length - 1)
    if (!role || !name || !modules[family].test(name)) {
      throw bad(`ComfyUI would not load the key ${cut(tensor.name, 120)} for ${family}`)
    }
    const parts = layers.get(name) ?? new Map<string, Tensor>()
    layers.set(name, parts.set(role, tensor))
  }
  return [...layers].map(([name, parts]) => ({ name, parts }))
}

function checkPair({ name, parts }: Layer, { family, adapter }: Plan): void {
  const [downRole, upRole] = pairs[family]
  const down = parts.get(downRole)
  const up = parts.get(upRole)
  if (!down || !up) throw bad(`${name} has no ${down ? upRole : downRole}`)
  const ranks = [down.shape[0], up.shape[1]]
  for (const rank of ranks) {
    if (rank !== adapter.rank) throw bad(`${name} has rank ${rank}, but ${adapter.rank} was planned`)
  }
  const foreign = kronecker.find((role) => parts.has(role))
  if (foreign) throw bad(`${name} has a ${foreign}, but ${adapter.method} was planned`)
}

/** Each of the two factors is there as a whole, or as a product of the planned rank. */
function checkKronecker({ name, parts }: Layer, { family, adapter }: Plan): void {
  const foreign = pairs[family].find((role) => parts.has(role))
  if (foreign) throw bad(`${name} has a ${foreign}, but lokr was planned`)
  for (const factor of ['lokr_w1', 'lokr_w2']) {
    if (parts.has(factor)) continue
    const left = parts.get(`${factor}_a`)
    const right = parts.get(`${factor}_b`)
    if (!left || !right) throw bad(`${name} has no ${factor}`)
    // With convolutions the rank is the first side of w2_a, else the second.
    if (!left.shape.includes(adapter.rank)) {
      throw bad(
        `${name} has a ${factor} of shape ${left.shape.join('×')}, but rank ${adapter.rank} was planned`,
      )
    }
  }
}
