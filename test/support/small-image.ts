/** An image as registries keep them: one layer with one file, which no program can run. */
import { createHash } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'

export type Image = { readonly manifest: Buffer; readonly blobs: readonly Buffer[] }

const kind = (name: string) => `application/vnd.oci.image.${name}`

export const manifestType = kind('manifest.v1+json')

export async function smallImage(): Promise<Image> {
  const tar = pack()
  tar.entry({ name: 'hello' }, 'hello\n')
  tar.finalize()
  const layer = await buffer(tar)
  const zipped = gzipSync(layer)
  const config = json({
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
  })
  const part = (type: string, content: Buffer) => ({
    mediaType: kind(type),
    digest: digestOf(content),
    size: content.length,
  })
  const manifest = json({
    schemaVersion: 2,
    mediaType: manifestType,
    config: part('config.v1+json', config),
    layers: [part('layer.v1.tar+gzip', zipped)],
  })
  return { manifest, blobs: [config, zipped] }
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

export const digestOf = (content: Buffer): string =>
  `sha256:${createHash('sha256').update(content).digest('hex')}`
