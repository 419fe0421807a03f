import { execa } from 'execa'
import { expect, test } from 'vitest'
import { workerPolicy } from '../../infra/worker-rights.ts'

const policy = (settings: Readonly<Record<string, string>>) =>
  execa(process.execPath, ['src/cli.ts', 'policy'], {
    cwd: new URL('../..', import.meta.url),
    env: settings,
    extendEnv: false,
    reject: false,
  })

test('bellows policy prints the worker’s policy for the settings that it depends on, and needs no other', async () => {
  const { stdout, exitCode } = await policy({ BELLOWS_DEPLOYMENT: 'studio', AWS_REGION: 'eu-west-1' })
  expect(exitCode).toBe(0)
  expect(JSON.parse(stdout)).toEqual(workerPolicy({ deployment: 'studio', regions: ['eu-west-1'] }))
})

test('a deployment that can’t be is refused', async () => {
  const { stdout, stderr, exitCode } = await policy({ BELLOWS_DEPLOYMENT: '*' })
  expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 1 })
  expect(stderr).toContain('BELLOWS_DEPLOYMENT')
})
