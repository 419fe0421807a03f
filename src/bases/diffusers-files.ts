/**
 * Which files of a repository diffusers loads. Many hold the same weights several times over: as .bin,
 * .onnx, .msgpack, in half precision, or as a single file for other programs.
 */
import { z } from 'zod'

export type ChosenFile = {
  readonly from: string
  /** Where loaders look without being told of a variant. */
  readonly to: string
}

/** `{"unet": ["diffusers", "UNet2DConditionModel"], "safety_checker": [null, null], "boundary_ratio": 0.9}` */
const modelIndexSchema = z.record(z.string(), z.unknown())
const componentSchema = z.tuple([z.string(), z.string()])
const shardIndexSchema = z.object({ weight_map: z.record(z.string(), z.string()) })

/** What the loaders call their weights: diffusers' models, then transformers'. */
const stems = ['diffusion_pytorch_model', 'model'] as const
/** Holds numbers and nothing that runs, as the other kinds of weights may. */
export const safeWeights = /^\w[\w.-]*\.safetensors$/
/** Configuration, tokenizers and their like. */
export const smallFile = /^\w[\w.-]*\.(json|txt|model|jinja)$/
const shardIndex = /\.index\.(\w+\.)?json$/
export const weightsFile = /\.(safetensors|bin|msgpack|onnx|pt|pth|ckpt|gguf|h5|pkl)$/

/**
 * `variant`, such as `fp16`, is taken where a component has it, and put where the full weights would be.
 * Throws where a component can't be loaded from what is there.
 */
export async function filesToLoad(
  paths: readonly string[],
  readJson: (path: string) => Promise<unknown>,
  variant?: string,
): Promise<readonly ChosenFile[]> {
  if (!paths.includes('model_index.json'))
    throw new Error('There is no model_index.json: it is no model in the layout of diffusers.')
  const chosen = [same('model_index.json')]
  for (const component of componentsOf(await readJson('model_index.json'))) {
    const start = `${component}/`
    const names = paths.filter((path) => path.startsWith(start)).map((path) => path.slice(start.length))
    if (names.length === 0)
      throw new Error(`model_index.json names "${component}", and there is no such folder.`)
    const small = names.filter((name) => smallFile.test(name) && !shardIndex.test(name)).map(same)
    const weights = await weightsOf(component, names, readJson, variant)
    chosen.push(...[...small, ...weights].map(({ from, to }) => ({ from: start + from, to: start + to })))
  }
  return chosen
}

function componentsOf(index: unknown): string[] {
  return Object.entries(modelIndexSchema.parse(index))
    .filter(([name, value]) => /^[a-z]\w*$/.test(name) && componentSchema.safeParse(value).success)
    .map(([name]) => name)
}

/** One file, or shards with their index: either loader takes the one that is there. */
async function weightsOf(
  component: string,
  names: readonly string[],
  readJson: (path: string) => Promise<unknown>,
  variant: string | undefined,
): Promise<ChosenFile[]> {
  for (const wanted of variant ? [variant, undefined] : [undefined]) {
    for (const stem of stems) {
      const file = `${stem}.${wanted ? `${wanted}.` : ''}safetensors`
      if (names.includes(file)) return [{ from: file, to: `${stem}.safetensors` }]
      const index = `${stem}.safetensors.index.${wanted ? `${wanted}.` : ''}json`
      if (!names.includes(index)) continue
      const { weight_map: places } = shardIndexSchema.parse(await readJson(`${component}/${index}`))
      const shards = [...new Set(Object.values(places))].sort()
      const other = shards.find((shard) => !safeWeights.test(shard))
      if (other) throw new Error(`${component}/${index} names ${other}: weights must be .safetensors.`)
      const missing = shards.find((shard) => !names.includes(shard))
      if (missing) throw new Error(`${component}/${index} names ${missing}, and there is no such file.`)
      return [{ from: index, to: `${stem}.safetensors.index.json` }, ...shards.map(same)]
    }
  }
  const others = names.filter((name) => weightsFile.test(name))
  if (others.length === 0) return [] // a tokenizer, a scheduler
  const half = others.find((name) => /\.fp16\b.*\.safetensors$/.test(name))
  const advice = half
    ? 'name its variant (--variant fp16) on a hub, rename it without in a folder'
    : 'weights must be .safetensors'
  throw new Error(`${component} has only ${others.slice(0, 3).join(', ')}: ${advice}.`)
}

function same(path: string): ChosenFile {
  return { from: path, to: path }
}
