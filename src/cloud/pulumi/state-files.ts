/**
 * The files in which a self-managed backend (a folder, a bucket) keeps its stacks,
 * `.pulumi/stacks/<project>/<stack>.json`: needed when the engine can't read one of them, and then lists none.
 */
import { readdir, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { paginateListObjectsV2, S3Client } from '@aws-sdk/client-s3'
import { handDown, throughProxies } from './handed-down.ts'

export type StateFile = { readonly name: string; readonly updatedAt: Date | undefined }

/**
 * Whether the engine reports that a state is empty, truncated, corrupt or of an unknown version. A backend that doesn't
 * answer, or a wrong passphrase, is different: such a state is intact.
 */
export const isUnreadable = (said: string): boolean =>
  /place \d+: (unexpected end of JSON|invalid character|json: )|unsupported checkpoint version|checksum did not match|snapshot integrity error/.test(
    said,
  )

/** Throws for a backend that stores its stacks in another way, or doesn't answer. */
export async function stateFiles(backendUrl: string, project: string): Promise<readonly StateFile[]> {
  if (backendUrl.startsWith('file://')) return filesIn(folderOf(backendUrl), project)
  if (backendUrl.startsWith('s3://')) return filesInBucket(new URL(backendUrl), project)
  throw new Error(`The stacks of ${backendUrl.split('?', 1)[0]} can't be listed by their files`)
}

/** `file://~` is the home folder, which no URL can express. */
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

/** With the parameters of Pulumi's own S3 backend; credentials come from the environment or the profile. */
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

/** Undefined for other files: attributes, and backups. */
const stackOf = (file: string): string | undefined => /^([^/]+)\.json(\.gz)?$/.exec(file)?.[1]
