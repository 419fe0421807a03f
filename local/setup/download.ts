import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** How long a host may take for its first answer before it counts as out of reach. */
const probeMs = 4_000

/** How long a whole download may take. */
const downloadMs = 20 * 60_000

const probes = new Map<string, Promise<boolean>>()

/** Whether the URL's host answers at all, whatever it answers. Asked once for each host. */
export function reachable(url: string): Promise<boolean> {
  const { origin } = new URL(url)
  const known = probes.get(origin)
  if (known !== undefined) return known
  const probe = fetch(origin, {
    method: 'HEAD',
    redirect: 'manual',
    signal: AbortSignal.timeout(probeMs),
  }).then(
    () => true,
    () => false,
  )
  probes.set(origin, probe)
  return probe
}

/** Downloads to a file. A body whose sha256 is another one is refused. */
export async function download(url: string, file: string, sha256: string): Promise<void> {
  const response = await get(url)
  const hash = createHash('sha256')
  await pipeline(
    Readable.fromWeb(response.body as import('node:stream/web').ReadableStream),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk)
        yield chunk
      }
    },
    createWriteStream(file),
  )
  const actual = hash.digest('hex')
  if (actual !== sha256) throw new Error(`${url} has the sha256 ${actual} and not ${sha256}: it was not used`)
}

export async function downloadText(url: string): Promise<string> {
  return await (await get(url)).text()
}

async function get(url: string): Promise<Response> {
  const response = await fetch(url, { signal: AbortSignal.timeout(downloadMs) })
  if (!response.ok || !response.body) throw new Error(`${url} answered ${response.status}`)
  return response
}
