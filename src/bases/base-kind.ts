/**
 * Whether weights are a base of the family that they are published as, with a schedule that its trainer knows. Weights of
 * another schedule load and train without a complaint, and what comes out is nonsense.
 */
import { z } from 'zod'
import type { Family } from '../family.ts'
import { cut, printable } from '../text.ts'
import { filesToLoad } from './diffusers-files.ts'

const pipelines: Readonly<Record<Family, readonly string[]>> = {
  SDXL: ['StableDiffusionXLPipeline'],
  FLUX: ['FluxPipeline'],
  WAN: ['WanPipeline'],
}

const indexSchema = z.looseObject({ _class_name: z.string() })

/** As diffusers' schedulers write themselves; what they leave out is their default. */
const scheduleSchema = z.looseObject({
  _class_name: z.string(),
  prediction_type: z.string().default('epsilon'),
  rescale_betas_zero_snr: z.boolean().default(false),
  use_flow_sigmas: z.boolean().default(false),
  timestep_type: z.string().default('discrete'),
})
type Schedule = z.infer<typeof scheduleSchema>

const schedulePath = 'scheduler/scheduler_config.json'

/** Throws with a sentence where they are not; every file of the weights is in `paths`. */
export async function checkKind(
  family: Family,
  paths: readonly string[],
  readJson: (path: string) => Promise<unknown>,
): Promise<void> {
  const single = paths.find((path) => /^[^/]+\.(safetensors|ckpt)$/.test(path))
  if (!paths.includes('model_index.json') && single) throw singleFile(single)
  await filesToLoad(paths, readJson)
  const { _class_name: pipeline } = await settingsIn('model_index.json', indexSchema, readJson)
  if (!pipelines[family].includes(pipeline)) {
    const wanted = pipelines[family].join(' or ')
    throw new Error(`It is no base of ${family}: its pipeline is ${shown(pipeline)}, not ${wanted}.`)
  }
  if (!paths.includes(schedulePath)) return
  const schedule = await settingsIn(schedulePath, scheduleSchema, readJson)
  const complaint = family === 'SDXL' ? wrongDiffusion(schedule) : wrongFlow(schedule)
  if (complaint)
    throw new Error(`Its schedule is of a kind that ${family} is not trained with: ${complaint}.`)
}

async function settingsIn<T>(
  path: string,
  schema: z.ZodType<T>,
  readJson: (path: string) => Promise<unknown>,
): Promise<T> {
  const { data, error } = schema.safeParse(await readJson(path))
  if (error) throw new Error(`${path} is not as diffusers writes it: ${z.prettifyError(error)}`)
  return data
}

export function singleFile(name: string): Error {
  const how = 'write it with from_single_file(…).save_pretrained(…) of diffusers, and name that folder'
  return new Error(`${name} is a checkpoint in a single file, which is not converted: ${how}.`)
}

/**
 * DDPM's noise levels, whatever the sampler. `timestep_spacing` chooses steps of sampling only; `rescale_betas_zero_snr` is
 * trained as it is said, but without any signal in the last step its noise can't be what is predicted.
 */
function wrongDiffusion(schedule: Schedule): string | undefined {
  const { _class_name: name, prediction_type: predicted, timestep_type: time } = schedule
  if (/^(EDM|Flow)/.test(name) || schedule.use_flow_sigmas) return shown(name)
  if (time !== 'discrete') return `${shown(name)} with timestep_type ${shown(time)}, as of EDM`
  if (predicted !== 'epsilon' && predicted !== 'v_prediction') return `prediction_type ${shown(predicted)}`
  if (predicted === 'epsilon' && schedule.rescale_betas_zero_snr)
    return 'rescale_betas_zero_snr with prediction_type epsilon'
  return undefined
}

/** Straight lines from noise to data. */
function wrongFlow({ _class_name: name, prediction_type, use_flow_sigmas }: Schedule): string | undefined {
  if (name.startsWith('FlowMatch')) return undefined
  if (use_flow_sigmas && prediction_type === 'flow_prediction') return undefined
  return `${shown(name)} with prediction_type ${shown(prediction_type)}`
}

function shown(text: string): string {
  return cut(printable(text), 60)
}
