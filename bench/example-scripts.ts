/**
 * diffusers' own LoRA example scripts. They are not in its package, and no line of them is here: they are downloaded
 * from the release's tag, and refused unless they are the very files that were measured.
 */
import { createHash } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cached } from '../local/setup/cache.ts'
import { download } from '../local/setup/download.ts'
import type { Family } from '../src/family.ts'

/**
 * The newest release whose files' sums were taken from the repository itself. The trainer's lock is ahead of it (0.42.1), and
 * the scripts run on that: each checks only that the library is not older than itself.
 */
const tag = 'v0.40.0'

type ExampleScript = { readonly path: string; readonly sha256: string }

const exampleScripts: Readonly<Partial<Record<Family, ExampleScript>>> = {
  SDXL: {
    path: 'examples/text_to_image/train_text_to_image_lora_sdxl.py',
    sha256: '55edec3ed9d86d7fdcd665b0cac35f6cc6c324fcfc7949117dd9aac1e47d0d51',
  },
  FLUX: {
    path: 'examples/dreambooth/train_dreambooth_lora_flux.py',
    sha256: 'ea51c6843b1e27909a134de1eb59e6bc54ad99f4b349c55bdd62321cb5412885',
  },
}

/** @throws for a family that diffusers has no LoRA training script for */
export function exampleScript(family: Family): ExampleScript {
  const script = exampleScripts[family]
  if (!script) {
    const others = Object.keys(exampleScripts).join(' or ')
    throw new Error(`diffusers has no LoRA training script for ${family} to compare with; choose ${others}.`)
  }
  return script
}

export function scriptUrl({ path }: ExampleScript): string {
  return `https://raw.githubusercontent.com/huggingface/diffusers/${tag}/${path}`
}

/**
 * The script's file in the cache.
 *
 * @throws with the way out where the address can't be reached or has another file
 */
export async function downloadedScript(script: ExampleScript, cache: string): Promise<string> {
  const name = join('bench', script.sha256.slice(0, 12))
  await mkdir(join(cache, 'bench'), { recursive: true })
  try {
    const folder = await cached(cache, name, (made) =>
      download(scriptUrl(script), join(made, 'script.py'), script.sha256),
    )
    return join(folder, 'script.py')
  } catch (error) {
    const url = scriptUrl(script)
    throw new Error(`The example script can't be had: get ${url} yourself and name it with --script.`, {
      cause: error,
    })
  }
}

/** @throws unless the file is the pinned one */
export async function givenScript(script: ExampleScript, file: string): Promise<string> {
  const actual = createHash('sha256')
    .update(await readFile(file))
    .digest('hex')
  if (actual !== script.sha256) {
    throw new Error(
      `${file} has the sha256 ${actual}; ${script.path} of diffusers ${tag} has ${script.sha256}.`,
    )
  }
  return file
}
