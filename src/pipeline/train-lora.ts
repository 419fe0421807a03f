/**
 * One button trains a LoRA: this is what happens then.
 *
 * Every step looks for the evidence of itself first, so going on after a crash, on this worker or another,
 * is calling this function again. See job.ts for the phases and endings.ts for every way to end.
 */
import type { Job } from './job.ts'
import { admit } from './steps/admit.ts'
import { charge } from './steps/charge.ts'
import { credit } from './steps/credit.ts'
import { applyOutcome, end, handleFailure, outcomeOf } from './steps/end.ts'
import { runAttempts } from './steps/machines.ts'
import { prepare } from './steps/prepare.ts'
import { provision } from './steps/provision.ts'
import { register } from './steps/register.ts'
import { ship } from './steps/ship.ts'
import { stage } from './steps/stage.ts'
import { train } from './steps/train.ts'

export async function trainLora(job: Job): Promise<void> {
  if (job.run.outcome) return applyOutcome(job, job.run.outcome) // decided before: finish what follows from it
  try {
    const plan = await prepare(job) // the overrides become a plan, the dataset a clean archive
    await admit(job, plan) // waits in the queue while the budgets are used up
    await charge(job) // points first: who can't pay costs nothing

    const shipped = await runAttempts(job, plan, async (attempt) => {
      using machine = await provision(job, plan, attempt) // rented by the second, reached by SSH
      await stage(job, machine, plan) // weights, dataset, last checkpoint: straight from the store
      await train(job, machine, plan, attempt)
      return await ship(job, machine, plan) // checked, then published; the manifest is written last
    })

    const model = await register(job, plan, shipped) // in the gallery and in ComfyUI
    await credit(job) // the trainer and the dataset's creator
    await end(job, ...outcomeOf(shipped, plan), model) // machine gone, document told, nothing left
  } catch (error) {
    await handleFailure(job, error) // another try where that may help; else refunded and explained
  }
}
