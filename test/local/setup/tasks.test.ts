import { describe, expect, it } from 'vitest'
import { createProgress, duration } from '../../../local/setup/progress.ts'
import { createSetup } from '../../../local/setup/tasks.ts'

const start = () => {
  const lines: string[] = []
  const progress = createProgress((line) => lines.push(line))
  return { lines, progress, ...createSetup(progress) }
}

describe('the parts of a set-up', () => {
  it('start once all that they need is there, and not before', async () => {
    const { part, finish } = start()
    const done: string[] = []
    const gate = Promise.withResolvers<void>()
    const docker = part('Docker', async () => {
      await gate.promise
      done.push('Docker')
    })
    part('photographs', async () => done.push('photographs'))
    const base = part('base', async () => done.push('base'), [docker])
    part('image', async () => done.push('image'), [docker, base])
    await Promise.resolve()
    expect(done).toEqual(['photographs'])
    gate.resolve()
    await finish()
    expect(done).toEqual(['photographs', 'Docker', 'base', 'image'])
  })

  it('run at most two heavy works at a time', async () => {
    const { part, finish } = start()
    let now = 0
    let most = 0
    for (const name of ['a', 'b', 'c', 'd', 'e']) {
      part(name, ({ heavy }) =>
        heavy(async () => {
          most = Math.max(most, ++now)
          await new Promise(setImmediate)
          now--
        }),
      )
    }
    await finish()
    expect(most).toBe(2)
  })

  it('tell which of them failed, once, and leave out what needs it, but finish the others', async () => {
    const { part, finish, lines } = start()
    const done: string[] = []
    const docker = part('Docker', async ({ say }) => {
      say('installing it')
      throw new Error('install Docker')
    })
    part('image', async () => done.push('image'), [docker])
    part('S3 server', async () => {
      await new Promise(setImmediate)
      done.push('S3 server')
    })
    await expect(finish()).rejects.toThrow(/^Docker: install Docker$/)
    expect(done).toEqual(['S3 server'])
    expect(lines.at(-1)).toMatch(/^Docker: failed after/)
  })

  it('print nothing where everything was there already', async () => {
    const { part, finish, lines, progress } = start()
    part('Pulumi', async () => '/cache/pulumi')
    await finish()
    expect(lines).toEqual([])
    expect(progress.silent).toBe(true)
  })

  it('print a line at the start and one with the time at the end', async () => {
    const { part, finish, lines, progress } = start()
    part('Pulumi', async ({ say }) => say('building it'))
    await finish()
    expect(lines).toEqual(['Pulumi: building it', expect.stringMatching(/^Pulumi: ready after \d+ ms$/)])
    expect(progress.silent).toBe(false)
  })
})

it('durations read as people say them', () => {
  expect([850, 12_400, 60_000, 220_000].map(duration)).toEqual(['850 ms', '12 s', '1 min 0 s', '3 min 40 s'])
})
