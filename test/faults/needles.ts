/** Looking for secrets, as they are or encoded, in text and in streams of any length. */
import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'

/** What is looked for, by what it is called. */
export type Needles = ReadonlyMap<string, string>

/** Sentences that name what was found where, and never the secret itself. */
export function searchText(where: string, text: string, needles: Needles): readonly string[] {
  return search(where, Buffer.from(text), formsOf(needles))
}

export async function searchStream(
  where: string,
  stream: Readable,
  needles: Needles,
): Promise<{ readonly found: readonly string[]; readonly bytes: number }> {
  const forms = formsOf(needles)
  const overlap = Math.max(...forms.map(({ bytes }) => bytes.length))
  const found = new Set<string>()
  let bytes = 0
  let rest = Buffer.alloc(0)
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length
    const piece = Buffer.concat([rest, chunk])
    for (const sentence of search(where, piece, forms)) found.add(sentence)
    rest = piece.subarray(-overlap)
  }
  return { found: [...found], bytes }
}

/** A local machine's files as archives: its own, and those of the containers on it. */
export function fileSystemOf(machine: string): readonly Readable[] {
  const archives = [
    ['export', machine],
    ['exec', machine, 'tar', '--create', '--file', '-', '--directory', '/var/lib/containers', '.'],
  ]
  return archives.map((argv) => spawn('docker', argv, { stdio: ['ignore', 'pipe', 'ignore'] }).stdout)
}

type Form = { readonly name: string; readonly bytes: Buffer }

function formsOf(needles: Needles): readonly Form[] {
  return [...needles].flatMap(([name, secret]) => {
    if (secret.length < 16) throw new Error(`${name} is too short to be looked for`)
    return [secret, encodeURIComponent(secret), Buffer.from(secret).toString('hex'), ...base64Of(secret)].map(
      (form) => ({ name, bytes: Buffer.from(form) }),
    )
  })
}

/** What base64 makes of it at each of the three places that it may begin at, but for the ends. */
const base64Of = (secret: string): readonly string[] =>
  [0, 1, 2].map((before) => {
    const encoded = Buffer.from(' '.repeat(before) + secret).toString('base64')
    return encoded.replace(/=+$/, '').slice(before === 0 ? 0 : 4, -4)
  })

function search(where: string, text: Buffer, forms: readonly Form[]): readonly string[] {
  return forms.filter(({ bytes }) => text.includes(bytes)).map(({ name }) => `${name} is in ${where}`)
}
