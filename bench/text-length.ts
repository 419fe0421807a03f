import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'

const tokenizerSchema = z.object({ model_max_length: z.number() })
const transformerSchema = z.object({ guidance_embeds: z.boolean() })

/** How many tokens of a caption FLUX's second encoder reads, as our trainer decides it; 0 for bases without one. */
export async function textLengthOf(base: string): Promise<number> {
  const read = async (path: string): Promise<unknown> => JSON.parse(await readFile(join(base, path), 'utf8'))
  const transformer = transformerSchema.safeParse(
    await read('transformer/config.json').catch(() => undefined),
  )
  if (!transformer.success) return 0
  const { model_max_length } = tokenizerSchema.parse(await read('tokenizer_2/tokenizer_config.json'))
  return Math.min(transformer.data.guidance_embeds ? 512 : 256, model_max_length)
}
