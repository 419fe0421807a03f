/** The trainers as machines get them, for CUDA; Docker and what images start from (the set-up's `images`) must be there. */
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { buildCommand, trainerImage } from '../local/setup/images.ts'
import type { Family } from '../src/family.ts'

const folder = fileURLToPath(new URL('../images', import.meta.url))

/** Builds it, with Docker's words on stderr (6 GB, some minutes the first time), and returns its tag. */
export async function cudaTrainer(family: Family): Promise<string> {
  const recipe = trainerImage(folder, family, 'cuda')
  if (!recipe) throw new Error(`The ${family} trainer has no Dockerfile.`)
  const tag = `${recipe.repository}:local`
  await execa('docker', buildCommand(recipe, tag), {
    stdin: 'ignore',
    stdout: process.stderr,
    stderr: 'inherit',
  })
  return tag
}
