/**
 * `npm run test:cuda`: builds the trainers as machines get them, for CUDA, and runs their tests in them. It takes 20 GB of disk and
 * no GPU: what only the CUDA build has (a quantised base, 8-bit AdamW) runs on the processor too.
 */
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { type Family, families } from '../src/recipes/plan.ts'
import { verdict } from './counting.ts'
import { buildCommand, trainerImage } from './setup/images.ts'
import { setUp } from './toolbox.ts'
import { runTrainerTests } from './trainer-tests.ts'

const folder = fileURLToPath(new URL('../images', import.meta.url))
await setUp(['images']) // Docker, and what the images start from

const images: Partial<Record<Family, string>> = {}
for (const family of families) {
  const recipe = trainerImage(folder, family, 'cuda')
  if (!recipe) continue
  const tag = `${recipe.repository}:tested`
  await execa('docker', buildCommand(recipe, tag), { stdio: 'inherit' })
  images[family] = tag
}
const count = await runTrainerTests(images)
console.log(verdict(count))
process.exitCode = count.failed > 0 ? 1 : 0
