/**
 * `npm run test:cuda`: builds the trainers as machines get them, for CUDA, and runs their tests in them. It takes 20 GB of disk and
 * no GPU: what only the CUDA build has (a quantised base, 8-bit AdamW) runs on the processor too.
 */
import { setUp } from '../local/setup/dev-environment.ts'
import { commandLine } from '../src/command-line.ts'
import { type Family, families } from '../src/family.ts'
import { verdict } from './counting.ts'
import { cudaTrainer } from './cuda-images.ts'
import { runTrainerTests } from './trainer-tests.ts'

commandLine(
  'npm run test:cuda --',
  'Build the trainers for CUDA, and run their tests in them (20 GB, no GPU).',
).parse()
await setUp(['images'])
const images: Partial<Record<Family, string>> = {}
for (const family of families) images[family] = await cudaTrainer(family)
const count = await runTrainerTests(images)
console.log(verdict(count))
process.exitCode = count.failed > 0 ? 1 : 0
