/** A real S3 server for tests, with the four buckets of a deployment made through its API. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { type ObjectStore, startObjectStore } from '../../local/emulator/object-store.ts'
import type { R2Options } from '../../src/storage/r2-store.ts'
import type { Bucket } from '../../src/storage/store.ts'
import { devEnvironment } from './dev-environment.ts'

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
  const binary = devEnvironment.versitygw
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
      publicUrl: 'https://models.example',
    },
    async remove() {
      await server.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}
