/** A trainer that obeys the contract: steps, checkpoints, resumption, SIGTERM → checkpoint → 75, a result. */
import { planSchema } from '../../src/recipes/plan.ts'
import type { TrainerScript } from '../fakes/simulated-machine.ts'

export const goodTrainer: TrainerScript = function* ({ files, stopping }) {
  const plan = planSchema.parse(JSON.parse(files.get('plan.json')?.toString() ?? ''))
  const resumed = files.get('checkpoint/step')?.toString()
  yield { line: JSON.stringify({ type: 'phase', phase: 'loading' }) }
  let step = Number(resumed ?? 0)
  while (step < plan.steps && !(step > 0 && files.has('finish'))) {
    step++
    yield {
      line: JSON.stringify({ type: 'step', step, total: plan.steps, loss: 1 / step, secondsPerStep: 0.1 }),
    }
    if (stopping() || step % plan.checkpointEvery === 0) {
      yield { write: 'checkpoint/step', content: String(step) }
      yield { line: JSON.stringify({ type: 'checkpoint', step, directory: 'checkpoint' }) }
    }
    if (stopping()) {
      yield { exit: 75 }
      return
    }
  }
  yield { write: `out/${plan.name}.safetensors`, content: `lora of ${plan.trainingId}` }
  yield { write: 'out/samples/final-1.png', content: 'picture' }
  const result = {
    files: [{ name: `${plan.name}.safetensors` }],
    steps: step,
    seconds: 1,
    finalLoss: 1 / step,
    finishedAt: '2026-11-23T12:00:00Z',
  }
  yield { write: 'out/result.json', content: JSON.stringify(result) }
  yield { exit: 0 }
}
