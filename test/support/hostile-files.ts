/** Files that are small and legal, and take a decoder minutes or gigabytes. */
import { deflateSync } from 'node:zlib'
import { element, number } from './clips.ts'
import { pngOf } from './pictures.ts'

/** A WebM of video tracks without number: MediaInfo's time grows with their square. */
export function webmOfManyTracks(bytes: number): Buffer {
  const track = element('ae', element('83', Buffer.from([1])), element('86', Buffer.from('V_VP9')))
  const tracks = Array.from({ length: Math.floor(bytes / track.length) }, () => track)
  return Buffer.concat([
    element('1a45dfa3', element('4282', Buffer.from('webm'))),
    element(
      '18538067',
      element('1549a966', element('2ad7b1', number(1_000_000))),
      element('1654ae6b', ...tracks),
    ),
  ])
}

/** A PNG of one pixel a side `side`, with text chunks that each unpack to `unpacked` bytes. */
export function pngOfTexts(side: number, chunks: number, unpacked: number): Buffer {
  const text = Buffer.concat([Buffer.from('Comment\0\0'), deflateSync(Buffer.alloc(unpacked, 'a'))])
  const texts = Array.from({ length: chunks }, () => ['zTXt', text] as const)
  return pngOf({ side, bits: 8, colour: 0, interlaced: false }, texts)
}

/** 16 bits, four channels, interlaced: nothing can be passed on before all is unpacked. */
export function interlacedPng(side: number): Buffer {
  return pngOf({ side, bits: 16, colour: 6, interlaced: true })
}
