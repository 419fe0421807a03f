/** A real S3 server for tests, with the four buckets of a deployment made through its API. */
import { existsSync, globSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { type ObjectStore, startObjectStore } from '../../src/local/object-store.ts'
import type { R2Options } from '../../src/storage/r2-store.ts'
import type { Bucket } from '../../src/storage/store.ts'

export const buckets: Readonly<Record<Bucket, string>> = {
  datasets: 'test-datasets',
  models: 'test-models',
  bases: 'test-bases',
  work: 'test-work',
}

export type TestStore = ObjectStore & {
  readonly dir: string
  readonly options: R2Options
  readonly binary: string
  remove(): Promise<void>
}

export async function startTestStore(): Promise<TestStore> {
  const binary = versitygw()
  const dir = await mkdtemp(join(tmpdir(), 'bellows-test-store-'))
  const server = await startObjectStore(binary, dir)
  const { endpoint, region, accessKeyId, secretAccessKey } = server
  const client = new S3Client({
    endpoint,
    region,
    credentials: { accessKeyId, secretAccessKey: secretAccessKey.reveal() },
    forcePathStyle: true,
  })
  for (const Bucket of Object.values(buckets)) await client.send(new CreateBucketCommand({ Bucket }))
  client.destroy()
  return {
    ...server,
    dir,
    binary,
    options: {
      endpoint,
      region,
      credentials: { accessKeyId, secretAccessKey },
      buckets,
      publicUrls: { models: 'https://models.example' },
    },
    async remove() {
      await server.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** Where the setup has put it: `BELLOWS_CACHE` or `~/.cache/bellows`. */
export function versitygw(): string {
  const cache = process.env.BELLOWS_CACHE ?? join(homedir(), '.cache', 'bellows')
  const found = globSync(['*/versitygw', '*/*/versitygw', '*/bin/versitygw', 'versitygw'], { cwd: cache })
  const binary = found.map((path) => join(cache, path)).find((path) => existsSync(path))
  if (!binary) throw new Error(`There is no versitygw in ${cache}: run the setup first`)
  return binary
}
