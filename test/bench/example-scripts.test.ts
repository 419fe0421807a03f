import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { exampleScript, givenScript, scriptUrl } from '../../bench/example-scripts.ts'

test('the scripts come from a release of diffusers', () => {
  expect(scriptUrl(exampleScript('SDXL'))).toMatch(
    /^https:\/\/raw\.githubusercontent\.com\/huggingface\/diffusers\/v[\d.]+\/examples\/.*_lora_sdxl\.py$/,
  )
})

test('for WAN there is nothing to compare with, and it says so', () => {
  expect(() => exampleScript('WAN')).toThrow('diffusers has no LoRA training script for WAN')
})

test('a file that is not the pinned script is refused with both sums', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'bellows-test-'))
  const file = join(folder.path, 'script.py')
  await writeFile(file, 'print("faster!")\n')
  await expect(givenScript(exampleScript('FLUX'), file)).rejects.toThrow(
    /has the sha256 [0-9a-f]{64}; .* has [0-9a-f]{64}/,
  )
})
