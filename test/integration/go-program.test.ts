import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { cacheFolder } from '../../local/setup/cache.ts'
import { ask } from '../../local/setup/command.ts'
import { buildGoProgram } from '../../local/setup/go.ts'

it('a Go program is built into a folder that is not there yet, and nothing but the program is left', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bellows-go-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const place = { cache: cacheFolder(), log: (part: string) => join(folder, `${part}.log`) }
  const program = join(folder, 'bin', 'test2json')
  await buildGoProgram({ modules: {}, package: 'cmd/test2json' }, program, place) // comes with Go: no download
  expect(await readdir(join(folder, 'bin'))).toEqual(['test2json'])
  expect(await ask([program, 'true'])).toContain('"Action":"pass"')
})
