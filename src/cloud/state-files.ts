/**
 * The files that a backend of one's own (a folder, a bucket) keeps its stacks in, `.pulumi/stacks/<project>/<stack>.json`:
 * for when the engine can't read one of them, and then lists none.
 */
import { readdir, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { paginateListObjectsV2, S3Client } from '@aws-sdk/client-s3'
import { handDown, throughProxies } from './handed-down.ts'

export type StateFile = { readonly name: string; readonly updatedAt: Date | undefined }

/**
 * Whether the engine says that a state is empty, cut, corrupt or of a form that it doesn't know. That a backend doesn't
 * answer, or that the passphrase is wrong, is another matter: such a state is whole.
 */
export const isUnreadable = (said: string): boolean =>
  /place \d+: (unexpected end of JSON|invalid character|json: )|unsupported checkpoint version|checksum did not match|snapshot integrity error/.test(
    said,
  )

/** Throws for a backend that keeps its stacks otherwise, or doesn't answer. */
export async function stateFiles(backendUrl: string, project: string): Promise<readonly StateFile[]> {
  if (backendUrl.startsWith('file://')) return filesIn(folderOf(backendUrl), project)
  if (backendUrl.startsWith('s3://')) return filesInBucket(new URL(backendUrl), project)
  throw new Error(`The stacks of ${backendUrl.split('?', 1)[0]} can't be listed by their files`)
}

/** `file://~` is the home folder's, which no URL can say. */
function folderOf(url: string): string {
  const home = /^file:\/\/~(.*)$/.exec(url)
  return home ? path.join(homedir(), home[1] as string) : fileURLToPath(url)
}

async function filesIn(folder: string, project: string): Promise<readonly StateFile[]> {
  const stacks = path.join(folder, '.pulumi', 'stacks', project)
  const files = await Promise.all(
    (await readdir(stacks)).map(async (file) => {
      const name = stackOf(file)
      if (name === undefined) return []
      const { mtime } = await stat(path.join(stacks, file))
      return [{ name, updatedAt: mtime }]
    }),
  )
  return files.flat()
}

/** By the parameters that Pulumi's own S3 backend takes; credentials are the environment's or the profile's. */
async function filesInBucket(url: URL, project: string): Promise<readonly StateFile[]> {
  const [endpoint, region, profile] = ['endpoint', 'region', 'profile'].map((key) =>
    url.searchParams.get(key),
  )
  const pathStyle = ['s3ForcePathStyle', 'use_path_style'].some((key) => url.searchParams.get(key) === 'true')
  const client = new S3Client({
    forcePathStyle: pathStyle,
    requestHandler: throughProxies(handDown(process.env)),
    ...(endpoint && { endpoint }),
    ...(region && { region }),
    ...(profile && { profile }),
  })
  const Prefix = path.posix.join(url.pathname, '.pulumi/stacks', project, '/').replace(/^\/+/, '')
  const found: StateFile[] = []
  try {
    for await (const page of paginateListObjectsV2({ client }, { Bucket: url.hostname, Prefix })) {
      for (const { Key = '', LastModified } of page.Contents ?? []) {
        const name = stackOf(Key.slice(Prefix.length))
        if (name !== undefined) found.push({ name, updatedAt: LastModified })
      }
    }
  } finally {
    client.destroy()
  }
  return found
}

/** Undefined for what lies beside: attributes, and copies of what was before. */
const stackOf = (file: string): string | undefined => /^([^/]+)\.json(\.gz)?$/.exec(file)?.[1]
