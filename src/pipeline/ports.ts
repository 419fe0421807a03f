import type { Clock } from '../clock.ts'
import type { Machines } from '../cloud/machines.ts'
import type { Datasets } from '../datasets/datasets.ts'
import type { PrepareDataset } from '../datasets/prepared-dataset.ts'
import type { Budget } from '../ledger/budget.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { ComfyUi } from '../models/comfyui.ts'
import type { Models } from '../models/models.ts'
import type { Alerts } from '../notify/alerts.ts'
import type { Plan } from '../recipes/plan.ts'
import type { CheckImage } from '../registries/image-check.ts'
import type { Remote } from '../remote/host.ts'
import type { ObjectRef, Store } from '../storage/store.ts'
import type { Runs } from '../trainings/runs.ts'
import type { Timeline } from '../trainings/timeline.ts'
import type { Trainings } from '../trainings/trainings.ts'

/** Reads the whole file; Failure('bad-artifact') unless it is a usable LoRA of this plan. */
export type CheckArtifact = (file: ObjectRef, plan: Plan) => Promise<void>

/** All that the workflow touches. Everything that it does to the world is a call of one of these. */
export type Ports = {
  readonly trainings: Trainings
  readonly runs: Runs
  readonly timeline: Timeline
  readonly datasets: Datasets
  readonly prepareDataset: PrepareDataset
  readonly models: Models
  readonly checkArtifact: CheckArtifact
  readonly checkImage: CheckImage
  readonly comfyUi: ComfyUi
  readonly ledger: Ledger
  readonly budget: Budget
  readonly store: Store
  readonly machines: Machines
  readonly remote: Remote
  readonly alerts: Alerts
  readonly clock: Clock
}
