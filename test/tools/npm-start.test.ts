/** `npm start` with the real npm: stopping it stops the worker, and it waits for that; settings come from `.env`. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Checkout, makeCheckout } from './checkout.ts'

/** Stops as a worker does: not at once, and with a code of its own; a second signal would cut it short. */
const worker = `
  let stopping: boolean = false
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => {
    if (stopping) process.exit(130)
    stopping = true
    console.log('told by ' + signal)
    setTimeout(() => { console.log('stopped'); process.exit(7) }, 1500)
  })
  setInterval(() => {}, 1000)
  console.log('ready')`

const printSetting = `console.log('BELLOWS_DEPLOYMENT=' + process.env.BELLOWS_DEPLOYMENT)`

let checkout: Checkout

beforeAll(async () => {
  checkout = await makeCheckout()
  await checkout.write('src/worker.ts', worker)
})
afterAll(() => checkout[Symbol.asyncDispose]())

test.concurrent.each([
  ['SIGTERM', 'npm alone'],
  ['SIGINT', 'npm alone'],
  ['SIGTERM', 'its whole group'],
  ['SIGINT', 'its whole group'],
] as const)('%s to %s stops the worker once, and npm ends after it, with its code', async (signal, whom) => {
  const npm = checkout.npm(['start'])
  await npm.written('ready')
  process.kill(whom === 'npm alone' ? npm.pid : -npm.pid, signal)
  expect(await npm.exit).toEqual({ code: 7, output: `ready\ntold by ${signal}\nstopped\n` })
})

test.concurrent.each([
  ['SIGHUP', 'npm alone', 'SIGTERM'],
  ['SIGHUP', 'its whole group', 'SIGHUP'],
  ['SIGKILL', 'npm alone', 'SIGTERM'],
] as const)('%s to %s, which ends npm at once, stops the worker too, once', async (signal, whom, told) => {
  const npm = checkout.npm(['start'])
  await npm.written('ready')
  process.kill(whom === 'npm alone' ? npm.pid : -npm.pid, signal)
  expect(await npm.end).toBe(`ready\ntold by ${told}\nstopped\n`)
})

test('settings of the worker and of commands come from .env, behind what the environment has', async () => {
  await using own = await makeCheckout()
  await own.write('src/worker.ts', printSetting)
  await own.write('src/cli.ts', printSetting)
  const said = async (argv: readonly string[], value?: string) =>
    (await own.npm(argv, { BELLOWS_DEPLOYMENT: value }).end).trim()
  expect(await said(['start'])).toBe('BELLOWS_DEPLOYMENT=undefined')
  await own.write('.env', '# ours\nBELLOWS_DEPLOYMENT=from-the-file\n')
  expect(await said(['start'])).toBe('BELLOWS_DEPLOYMENT=from-the-file')
  expect(await said(['run', 'bellows', '--', 'show'])).toBe('BELLOWS_DEPLOYMENT=from-the-file')
  expect(await said(['start'], 'from-outside')).toBe('BELLOWS_DEPLOYMENT=from-outside')
})

test('demo, tests and trainings at home take no setting from .env', async () => {
  await using own = await makeCheckout()
  await own.write('.env', 'BELLOWS_DEPLOYMENT=from-the-file\n')
  const { scripts } = JSON.parse(await own.read('package.json')) as { scripts: Record<string, string> }
  const others = Object.entries(scripts).flatMap(([name, script]) => {
    const [, file] = /bootstrap\.js (?:--env-file )?(\S+\.ts)/.exec(script) ?? []
    return file && !['start', 'bellows'].includes(name) ? [{ name, file }] : []
  })
  expect(others.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['demo', 'test', 'check', 'faults', 'train', 'bench']),
  )
  for (const { name, file } of others) {
    await own.write(file, printSetting)
    const said = await own.npm(['run', name], { BELLOWS_DEPLOYMENT: undefined }).end
    expect(said.trim(), name).toBe('BELLOWS_DEPLOYMENT=undefined')
  }
})
