/**
 * Caption files of any editor: UTF-8, UTF-16 with or without its mark, or what Windows writes in the West, in China and in Japan.
 * One folder is one person's, so all files that are no Unicode are judged together: a caption alone is too short to tell.
 */
import chardet from 'chardet'
import { Failure } from '../failure.ts'

export type CaptionFile = { readonly name: string; readonly bytes: Buffer }

/** As detection names them, and as decoders and people do. */
const legacy: Readonly<Record<string, readonly [decoder: string, name: string]>> = {
  'windows-1252': ['windows-1252', 'Windows-1252'],
  'ISO-8859-1': ['windows-1252', 'Windows-1252'],
  GB18030: ['gb18030', 'GBK'],
  Shift_JIS: ['shift_jis', 'Shift-JIS'],
}

/** In order of `files`. Failure('bad-dataset') with a file's name where its text is in none of these forms. */
export function captionTexts(files: readonly CaptionFile[]): {
  readonly texts: readonly string[]
  readonly warnings: readonly string[]
} {
  const unicode = files.map(({ bytes }) => unicodeText(bytes))
  const others = files.filter((_, index) => unicode[index] === undefined)
  const first = others[0]
  if (!first) return { texts: unicode.map(String), warnings: [] }
  const together = Buffer.concat(others.flatMap(({ bytes }) => [bytes, Buffer.from('\n')]))
  const [decoder, name] = legacy[chardet.detect(together) ?? ''] ?? []
  const read = (bytes: Buffer) => (decoder ? decoded(bytes, decoder) : undefined)
  const texts = files.map(({ name: file, bytes }, index) => {
    const text = unicode[index] ?? read(bytes)
    if (text !== undefined) return text
    throw new Failure('bad-dataset', `the caption ${file} is in an unknown encoding: save it as UTF-8`)
  })
  const many = others.length === 1 ? `The caption ${first.name} was` : `${others.length} captions were`
  return { texts, warnings: [`${many} read as ${name}: look at them, or save them as UTF-8.`] }
}

function unicodeText(bytes: Buffer): string | undefined {
  const utf16 = utf16Of(bytes)
  return utf16 ? decoded(bytes, utf16) : decoded(bytes, 'utf-8')
}

/** By its mark, or by the zeros that every second byte of it is as long as it has spaces and Latin letters. */
function utf16Of(bytes: Buffer): string | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le'
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be'
  const zeros = [0, 0]
  for (const [index, byte] of bytes.entries()) if (byte === 0) zeros[index % 2] = (zeros[index % 2] ?? 0) + 1
  const [even = 0, odd = 0] = zeros
  if (even === odd || bytes.length % 2 !== 0) return undefined
  return odd > even ? 'utf-16le' : 'utf-16be'
}

function decoded(bytes: Buffer, encoding: string): string | undefined {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}
