/** `npm run demo`; `-- --help` says what can be chosen. */
import { commandLine, family } from '../src/command-line.ts'
import { families as allFamilies, type Family } from '../src/family.ts'
import { complain } from '../src/terminal.ts'
import { createDisplay } from './demo/display.ts'

const { model: families, keep = false } = commandLine(
  'npm run demo --',
  'The whole product on this computer, with nothing in the cloud.',
)
  .option('--model <family>', `${allFamilies.join(', ')} or all`, chosen, chosen('SDXL'))
  .option('--keep', 'leave everything up until Ctrl-C')
  .parse()
  .opts<{ model: readonly Family[]; keep?: boolean }>()

const interrupted = new AbortController()
let settingUp = true
// SIGHUP: its terminal was closed
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    interrupted.abort(new Error('Interrupted; everything was taken down.'))
    if (!settingUp) return
    complain('Interrupted; what is there already is kept for the next time.')
    process.exit(130) // and the commands that were building something with it
  })
}
process.stdout.on('error', () =>
  interrupted.abort(new Error('The output was closed; everything was taken down.')),
)
const display = createDisplay(process.stdout)
const started = performance.now()
try {
  const [{ setUp }, { runDemo }] = await Promise.all([
    import('./setup/dev-environment.ts'),
    import('./demo/run.ts'),
  ])
  const devEnvironment = await setUp()
  settingUp = false
  await runDemo(devEnvironment, { families, keep, display, signal: interrupted.signal })
  display.line(`\nDone in ${((performance.now() - started) / 1000).toFixed(0)} s; nothing is left running.`)
} catch (error) {
  display.done()
  complain(error)
  process.exitCode = interrupted.signal.aborted ? 130 : 1
}

function chosen(text: string): readonly Family[] {
  return text.toLowerCase() === 'all' ? allFamilies : [family(text)]
}
