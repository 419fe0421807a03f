/** TIFF files of kinds that sharp reads and does not write. */

export type TiffOptions = {
  readonly side: number
  /** 1: grey, 2: RGB, 8: CIE Lab (TIFF 6.0, tag 262). */
  readonly photometric: 1 | 2 | 8
  /** Of a sample; 3: floating point, 1: whole numbers (tag 339). */
  readonly bits: 8 | 32
  readonly sampleFormat: 1 | 3
}

/** All pixels are `pixel`: its samples as the file holds them. */
export function tiff(pixel: readonly number[], options: TiffOptions): Buffer {
  const { side, photometric, bits, sampleFormat } = options
  const samples = pixel.length
  const pixels = Buffer.alloc((side * side * samples * bits) / 8)
  for (let index = 0; index < side * side * samples; index++) {
    const value = pixel[index % samples] ?? 0
    if (sampleFormat === 3) pixels.writeFloatLE(value, index * 4)
    else if (bits === 32) pixels.writeUInt32LE(value, index * 4)
    else pixels.writeUInt8(value & 255, index)
  }
  const [short, long] = [3, 4]
  const threeShorts = (value: number) => Buffer.from(new Uint16Array([value, value, value]).buffer)
  // One short stands in the entry itself, three stand elsewhere.
  const ofEach = (value: number, at: number) => (samples === 1 ? value : at)
  const [bitsAt, formatsAt, pixelsAt] = [8, 14, 20]
  const entries = [
    [256, long, 1, side],
    [257, long, 1, side],
    [258, short, samples, ofEach(bits, bitsAt)],
    [259, short, 1, 1],
    [262, short, 1, photometric],
    [273, long, 1, pixelsAt],
    [277, short, 1, samples],
    [278, long, 1, side],
    [279, long, 1, pixels.length],
    [339, short, samples, ofEach(sampleFormat, formatsAt)],
  ]
  const directory = Buffer.alloc(2 + entries.length * 12 + 4)
  directory.writeUInt16LE(entries.length)
  for (const [index, [tag = 0, type = 0, count = 0, value = 0]] of entries.entries()) {
    const at = 2 + index * 12
    directory.writeUInt16LE(tag, at)
    directory.writeUInt16LE(type, at + 2)
    directory.writeUInt32LE(count, at + 4)
    directory.writeUInt32LE(value, at + 8)
  }
  const header = Buffer.from('II*\0\0\0\0\0', 'latin1')
  header.writeUInt32LE(pixelsAt + pixels.length, 4)
  return Buffer.concat([header, threeShorts(bits), threeShorts(sampleFormat), pixels, directory])
}
