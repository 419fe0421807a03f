import { expect, it } from 'vitest'
import { baseDockerfile } from '../../local/setup/base-image.ts'
import { moments } from '../../local/setup/clip.ts'
import { buildArguments, goMod } from '../../local/setup/go.ts'
import { buildCommand, machineImage, tinyTrainerImage, trainerImage } from '../../local/setup/images.ts'
import { captions, licences } from '../../local/setup/photographs.ts'
import { checksumOf } from '../../local/setup/pulumi.ts'
import { tinyBaseCommand } from '../../local/setup/tiny-base.ts'

const images = new URL('../../images', import.meta.url).pathname

it('a Go program is built from the modules that are named, with its version inside', () => {
  expect(goMod({ 'example.com/a': 'v1.2.3' })).toContain('require example.com/a v1.2.3\n')
  const argv = buildArguments(
    { modules: {}, package: 'example.com/a/cmd', variables: { 'example.com/a.Version': 'v1.2.3' } },
    '/out/a',
  )
  expect(argv).toContain('-s -w -X example.com/a.Version=v1.2.3')
  expect(argv.slice(-3)).toEqual(['-o', '/out/a', 'example.com/a/cmd'])
})

it("a file's checksum is found in the list that its maker publishes, and never guessed", () => {
  const sum = 'a'.repeat(64)
  expect(checksumOf('tool.tar.gz', `${'b'.repeat(64)}  other.tar.gz\n${sum} *tool.tar.gz\n`)).toBe(sum)
  expect(() => checksumOf('tool.tar.gz', `${sum}  tool.tar.gz.sig`)).toThrow('no line for tool.tar.gz')
  expect(() => checksumOf('tool.tar.gz', 'short  tool.tar.gz')).toThrow('no line for tool.tar.gz')
})

it('the base image trusts what this computer trusts, where that is known', () => {
  expect(baseDockerfile(true)).toMatch(/^FROM .*\nCOPY .*\nENV SSL_CERT_FILE=\S+ PIP_CERT=/)
  expect(baseDockerfile(false)).toMatch(/^FROM \S+\n$/)
})

it('trainers are built from what all families share and what is their own', () => {
  const recipe = trainerImage(images, 'FLUX')
  expect(recipe?.inputs).toEqual([`${images}/common`, `${images}/flux`])
  const argv = buildCommand(recipe ?? tinyTrainerImage(images), 'bellows/trainer-flux:0')
  expect(argv.join(' ')).toContain('--build-arg BASE=bellows/base:trixie --build-arg DEVICE=cpu')
  expect(argv.slice(-2)).toEqual([`${images}/flux/Dockerfile`, images])
  expect(buildCommand(machineImage(images), 'bellows/machine:0').at(-1)).toBe(`${images}/machine`)
})

it('tiny bases are made without a network', () => {
  const argv = tinyBaseCommand('WAN', 'bellows/trainer-wan:0', '/cache/wan')
  expect(argv.join(' ')).toContain('--network none')
  expect(argv.slice(-5)).toEqual(['bellows/trainer-wan:0', '-m', 'bellows_trainer.tiny_base', 'WAN', '/base'])
})

it('every picture has a caption, an author, a licence and a row of its own', () => {
  const all = captions()
  expect(all.length).toBeGreaterThanOrEqual(10)
  expect(new Set(all.map(({ file }) => file)).size).toBe(all.length)
  expect(new Set(all.map(({ caption }) => caption)).size).toBe(all.length)
  for (const { file, author, title } of all) {
    expect(author && title).toBeTruthy()
    expect(licences()).toMatch(new RegExp(`\\b${file.replace('.', '\\.')}\\b`))
  }
})

it('no moment of the clip shows a part of another', () => {
  expect(moments).toHaveLength(24)
  for (const [index, { left, top, width, height }] of moments.entries()) {
    const beside = moments[index + 1]
    const next = beside && beside.top === top ? beside.left : 1024
    const below = moments[index + 6]?.top ?? 510
    expect(left + width).toBeLessThanOrEqual(next)
    expect(top + height).toBeLessThanOrEqual(below)
  }
})
