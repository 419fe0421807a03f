import { expect, test } from 'vitest'
import { filesToLoad } from '../../src/bases/diffusers-files.ts'

const flux = {
  text_encoder_2: ['transformers', 'T5EncoderModel'],
  transformer: ['diffusers', 'FluxTransformer2DModel'],
}
const shards = (stem: string, count: number) =>
  Array.from({ length: count }, (_, at) => `${stem}-0000${at + 1}-of-0000${count}.safetensors`)
const weightMap = (files: readonly string[]) => ({
  weight_map: Object.fromEntries([...files, ...files].map((file, at) => [`layer.${at}`, file])),
})

async function chosen(files: readonly string[], texts: Record<string, unknown>, variant?: string) {
  const paths = ['model_index.json', ...files]
  return (await filesToLoad(paths, async (path) => texts[path], variant)).map(({ from, to }) =>
    from === to ? from : `${from} → ${to}`,
  )
}

test('shards are those of the index, and nothing else of their folder', async () => {
  const [t5, dit] = [shards('model', 2), shards('diffusion_pytorch_model', 3)]
  const texts = {
    'model_index.json': flux,
    'text_encoder_2/model.safetensors.index.json': weightMap(t5),
    'transformer/diffusion_pytorch_model.safetensors.index.json': weightMap(dit),
  }
  const files = [
    'flux1-dev.safetensors',
    'ae.safetensors',
    'text_encoder_2/config.json',
    'text_encoder_2/model.safetensors.index.json',
    ...t5.map((name) => `text_encoder_2/${name}`),
    'text_encoder_2/pytorch_model.bin.index.json',
    'text_encoder_2/model-00001-of-00009.safetensors',
    'transformer/config.json',
    'transformer/diffusion_pytorch_model.safetensors.index.json',
    ...dit.map((name) => `transformer/${name}`),
    'transformer/onnx/model.onnx',
    'vae/diffusion_pytorch_model.safetensors',
  ]
  expect(await chosen(files, texts)).toEqual([
    'model_index.json',
    'text_encoder_2/config.json',
    'text_encoder_2/model.safetensors.index.json',
    ...t5.map((name) => `text_encoder_2/${name}`),
    'transformer/config.json',
    'transformer/diffusion_pytorch_model.safetensors.index.json',
    ...dit.map((name) => `transformer/${name}`),
  ])
})

test('a variant is taken where there is one, shards and all, and else the full weights', async () => {
  const half = shards('diffusion_pytorch_model.fp16', 2)
  const texts = {
    'model_index.json': flux,
    'transformer/diffusion_pytorch_model.safetensors.index.fp16.json': weightMap(half),
  }
  const files = [
    'text_encoder_2/model.safetensors',
    'transformer/diffusion_pytorch_model.safetensors',
    'transformer/diffusion_pytorch_model.safetensors.index.fp16.json',
    ...half.map((name) => `transformer/${name}`),
  ]
  expect(await chosen(files, texts, 'fp16')).toEqual([
    'model_index.json',
    'text_encoder_2/model.safetensors',
    'transformer/diffusion_pytorch_model.safetensors.index.fp16.json → transformer/diffusion_pytorch_model.safetensors.index.json',
    ...half.map((name) => `transformer/${name}`),
  ])
})

test.each([
  ['no folder', [], 'names "transformer", and there is no such folder'],
  [
    'no safetensors',
    ['transformer/model.bin'],
    'transformer has only model.bin: weights must be .safetensors',
  ],
  ['half precision only', ['transformer/model.fp16.safetensors'], 'name its variant (--variant fp16)'],
  [
    'a shard missing',
    ['transformer/model.safetensors.index.json', 'transformer/model-00001-of-00002.safetensors'],
    'names model-00002-of-00002.safetensors, and there is no such file',
  ],
])('%s: the copy is not begun', async (_, files, sentence) => {
  const texts = {
    'model_index.json': { transformer: flux.transformer },
    'transformer/model.safetensors.index.json': weightMap(shards('model', 2)),
  }
  await expect(chosen(files, texts)).rejects.toThrow(sentence)
})

test('a single-file checkpoint is no base', async () => {
  await expect(filesToLoad(['flux.safetensors'], async () => ({}))).rejects.toThrow('no model_index.json')
})

test.each(['model.bin', 'run.py', '../model.safetensors', 'deep/model.safetensors'])(
  'an index that names %s is refused',
  async (name) => {
    const texts = {
      'model_index.json': { text_encoder: ['transformers', 'CLIPTextModel'] },
      'text_encoder/model.safetensors.index.json': weightMap([name]),
    }
    const files = ['text_encoder/model.safetensors.index.json', `text_encoder/${name}`, 'model.safetensors']
    await expect(chosen(files, texts)).rejects.toThrow(`names ${name}: weights must be .safetensors.`)
  },
)
