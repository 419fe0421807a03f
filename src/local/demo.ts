/** `npm run demo [-- --model SDXL|FLUX|WAN|all] [--keep]`. */
import { parseArgs } from 'node:util'
import { setUp } from '../../tools/toolbox.ts'
import { families as allFamilies, type Family } from '../recipes/plan.ts'
import { createDisplay } from './demo/display.ts'
import { runDemo } from './demo/run.ts'

const { values } = parseArgs({
  options: { model: { type: 'string', default: 'SDXL' }, keep: { type: 'boolean', default: false } },
})
const wanted = values.model.toUpperCase()
const families: readonly Family[] =
  wanted === 'ALL' ? allFamilies : allFamilies.filter((each) => each === wanted)
if (families.length === 0) {
  console.error(`There is no model ${values.model}; choose one of ${allFamilies.join(', ')}, all.`)
  process.exit(2)
}

const interrupted = new AbortController()
let settingUp = true
// SIGHUP: its terminal was closed
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    interrupted.abort(new Error('Interrupted; everything was taken down.'))
    if (!settingUp) return
    console.error('Interrupted; what is there already is kept for the next time.')
    process.exit(130) // and the commands that were building something with it
  })
}
process.stdout.on('error', () => interrupted.abort(new Error('Nobody reads on; everything was taken down.')))
const display = createDisplay(process.stdout)
const started = performance.now()
try {
  const toolbox = await setUp()
  settingUp = false
  await runDemo(toolbox, { families, keep: values.keep, display, signal: interrupted.signal })
  display.line(`\nDone in ${((performance.now() - started) / 1000).toFixed(0)} s; nothing is left running.`)
} catch (error) {
  display.done()
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = interrupted.signal.aborted ? 130 : 1
}
