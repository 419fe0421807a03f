import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { createLogger } from '../../src/log.ts'
import { defaultOfferings, withoutImage } from '../../src/recipes/offerings.ts'
import { trainerUser } from '../../src/remote/argv.ts'
import { StartRefused, startWorker } from '../../src/worker.ts'
import { fewestSettings } from '../support/settings.ts'

test('no trainer image comes from a foreign namespace: an offering without an image refuses the start', async () => {
  const config = readConfig({ ...fewestSettings, BELLOWS_IMAGE_SDXL: 'registry.example/sdxl:1' })
  let connected = false
  const connect = async () => {
    connected = true
    throw new Error('it was not to connect')
  }
  const starting = startWorker(config, createLogger('error', 'worker'), connect)
  const error = await starting.catch((each: unknown) => each)
  expect(error).toBeInstanceOf(StartRefused)
  expect(String(error)).toContain('the offering "flux-lora" has no trainer image: set BELLOWS_IMAGE_FLUX')
  expect(String(error)).toContain('"wan-lora"')
  expect(String(error)).not.toContain('"sdxl-lora"')
  expect(connected).toBe(false)
})

test('an offering with an image of its own needs no other', () => {
  const none = { SDXL: undefined, FLUX: undefined, WAN: undefined }
  const own = Object.fromEntries(
    Object.entries(defaultOfferings).map(([key, each]) => [
      key,
      { ...each, image: 'registry.example/own:1' },
    ]),
  )
  expect(withoutImage(own, none)).toEqual([])
  expect(withoutImage(defaultOfferings, none)).toHaveLength(3)
})

test('a trainer image names the user whom every container runs as, and makes no other', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const named = ['sdxl', 'flux', 'wan', 'tiny-trainer'].map((folder) => `images/${folder}/Dockerfile`)
  const all = globSync('images/*/Dockerfile', { cwd: root }).filter((path) => !/\/machine\//.test(path))
  expect(all.sort()).toEqual(named.sort())
  for (const path of all) {
    const text = readFileSync(`${root}/${path}`, 'utf8')
    expect(text.match(/^USER .*$/gm), path).toEqual([`USER ${trainerUser}`])
    expect(text).not.toContain('useradd')
  }
})
