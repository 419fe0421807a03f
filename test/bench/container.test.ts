import { expect, test } from 'vitest'
import { runArguments } from '../../bench/container.ts'
import { contendersFor } from '../../bench/contenders.ts'
import { settingsFor } from '../../bench/settings.ts'

const place = { image: 'bellows/trainer-sdxl:1', job: '/tmp/job', bench: '/tmp/bench', base: '/tmp/base' }

function argumentsFor(gpu: boolean): readonly string[] {
  const settings = settingsFor('SDXL', gpu, { steps: 40 })
  const [ours] = contendersFor(settings, 0)
  if (!ours) throw new Error('there is no contender')
  return runArguments('bench', ours, settings, place)
}

test('a contender is shut in as on a machine, in the foreground and under the measure', () => {
  const argv = argumentsFor(false)
  expect(argv[0]).toBe('run')
  expect(argv).not.toContain('--detach')
  expect(argv[argv.indexOf('--entrypoint') + 1]).toBe('python3')
  expect(argv).toEqual(
    expect.arrayContaining(['--read-only', '--cap-drop', '--network', '/tmp/base:/job/base:ro']),
  )
  expect(argv).not.toContain('--gpus')
  expect(argv.slice(argv.indexOf(place.image) + 1)).toEqual([
    ...['/bench/measure.py', '/job/report.json', '40'],
    ...['-m', 'bellows_trainer', 'sdxl'],
  ])
})

test('the GPU is passed on where one was asked for, and the threads are left alone', () => {
  const argv = argumentsFor(true)
  expect(argv[argv.indexOf('--gpus') + 1]).toBe('all')
  expect(argv.join(' ')).not.toContain('OMP_NUM_THREADS')
})
