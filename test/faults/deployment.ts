/** A whole local cloud for tests: real database, store, engine, SSH and containers, with the tiny trainer. */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { type LocalCloud, startLocalCloud } from '../../local/emulator/cloud.ts'
import { setUp } from '../../local/setup/dev-environment.ts'
import { publishBaseModel } from '../../src/bases/bases.ts'
import type { Offerings } from '../../src/recipes/offerings.ts'
import { imagesOwner, openRoom, type Room } from './room.ts'

const overrides = {
  resolution: 64,
  rank: 4,
  steps: 400,
  checkpointEvery: 50,
  sampleEvery: 0,
  precision: 'fp32',
  optimizer: 'adamw',
  quantization: 'none',
}

const offerings: Offerings = {
  'sdxl-lora': { family: 'SDXL', base: 'tiny', pricePoints: 1000, overrides },
}

export type Deployment = Awaited<ReturnType<typeof startDeployment>>

/** The cloud with one room; `room` opens more of them. */
export async function startDeployment(settings: Readonly<Record<string, string>> = {}) {
  const devEnvironment = await setUp()
  const trainer = devEnvironment.images.trainers.tiny
  const base = devEnvironment.bases.SDXL
  if (!trainer || !base) throw new Error('The set-up has made no tiny trainer or no tiny base.')
  const directory = await mkdtemp(join(tmpdir(), 'bellows-test-'))
  const deployment = `test-${directory.slice(-6).toLowerCase()}`
  const cloud: LocalCloud = await startLocalCloud({
    devEnvironment,
    directory,
    deployment,
    offerings,
    trainer,
  })
  const hues = [0, 60, 120, 180]
  const images = hues.map((hue) => `users/${imagesOwner.toHexString()}/${hue}.png`)
  const first = await openRoom({ cloud, deployment, name: deployment, images, settings })
  const more: Room[] = []

  const { store } = first.clients.ports
  await publishBaseModel(store, base, { name: 'tiny', family: 'SDXL', licence: 'Apache-2.0' })
  for (const [index, hue] of hues.entries()) {
    const ref = { bucket: 'datasets', key: images[index] ?? '' } as const
    await store.write(ref, await picture(hue), 'image/png')
  }

  return {
    ...first,
    /** Another room on the same cloud; its database and its identity are its own. */
    async room(name: string, others: Readonly<Record<string, string>> = {}): Promise<Room> {
      const all = { ...settings, ...others }
      const room = await openRoom({ cloud, deployment, name: `${deployment}-${name}`, images, settings: all })
      more.push(room)
      return room
    },
    /** Stages a trouble, or makes something happen to an instance (local/emulator/provider/control.ts). */
    async trouble(path: string, body: unknown = {}): Promise<void> {
      const answer = await fetch(`${cloud.controlUrl}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
    },
    async stop(): Promise<void> {
      for (const room of [first, ...more]) await room.close()
      await cloud.stop()
    },
  }
}

function picture(hue: number): Promise<Buffer> {
  const background = { r: 255 - hue, g: hue, b: 128 }
  return sharp({ create: { width: 300, height: 300, channels: 3, background } })
    .png()
    .toBuffer()
}
